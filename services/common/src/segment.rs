//! Names that clients give and ask for by path: one rule for all of them, and the tag of a test.
//!
//! Proxies resolve `.`, `..` and slashes, even when they are encoded, and our own gateway refuses them. So what may
//! stand in a path is decided where a name comes in. Not here: how a path is read (`gateway`).

use std::fmt;

use serde::Deserialize;

/// The longest tag of a test.
const LONGEST_TAG: usize = 64;

/// Whether a text can be a segment of a path: 1 to `longest` visible ASCII characters, no slash and no backslash, and
/// neither `.` nor `..`.
pub fn is_segment(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\'))
        && !matches!(text, "." | "..")
}

/// What marks the data of one test, so that it can be removed together: the `test` claim of its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TestTag(String);

/// Why a text is no tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tag has 1 to {LONGEST_TAG} visible ASCII characters, no slash or backslash, and is not `.` or `..`"
)]
pub struct MalformedTag;

impl TestTag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a text can be a tag.
    pub fn fits(text: &str) -> bool {
        is_segment(text, LONGEST_TAG)
    }
}

impl TryFrom<String> for TestTag {
    type Error = MalformedTag;

    fn try_from(text: String) -> Result<Self, MalformedTag> {
        if Self::fits(&text) {
            Ok(Self(text))
        } else {
            Err(MalformedTag)
        }
    }
}

impl fmt::Display for TestTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_means_the_same_to_everybody_on_its_way() {
        for good in ["a", "~!", "...", "a.b", "100%", "a?b#c", "xxxxxxxx"] {
            assert!(is_segment(good, 8), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            "/",
            "a/b",
            "a\\b",
            " ",
            "a b",
            "ä",
            "a\n",
            "\u{7f}",
            "xxxxxxxxx",
        ] {
            assert!(!is_segment(bad, 8), "{bad:?}");
        }
    }

    #[test]
    fn a_tag_is_parsed_once() {
        let parse = |text: &str| TestTag::try_from(text.to_owned());
        assert_eq!(parse("smoke-1").unwrap().as_str(), "smoke-1");
        for bad in ["", "a/b", "..", &"x".repeat(65)] {
            assert_eq!(parse(bad), Err(MalformedTag), "{bad:?}");
        }
    }
}
