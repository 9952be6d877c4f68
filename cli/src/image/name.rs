//! Names of images: always full ones, since k3s takes an archive's names as they are.

use std::fmt;
use std::str::FromStr;

/// A full name of an image: a registry's host, a path, and a tag if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    repository: String,
    tag: Option<String>,
}

/// A text is no full name of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no full name of an image: {reason}")]
pub struct InvalidImageName {
    text: String,
    reason: &'static str,
}

impl ImageName {
    /// The name without its tag.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The same name with a tag if it has none.
    #[must_use]
    pub fn tagged(self, tag: impl FnOnce() -> String) -> Self {
        Self {
            tag: Some(self.tag.unwrap_or_else(tag)),
            ..self
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        match &self.tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

impl FromStr for ImageName {
    type Err = InvalidImageName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason| InvalidImageName {
            text: text.to_owned(),
            reason,
        };
        if text.contains('@') {
            return Err(wrong(
                "a digest cannot be chosen: it follows from the content",
            ));
        }
        let (host, rest) = text
            .split_once('/')
            .ok_or_else(|| wrong("it begins with a registry's host, as in localhost/shop/shopd"))?;
        if host != "localhost" && !host.contains(['.', ':']) {
            return Err(wrong(
                "it begins with a registry's host, as in localhost/shop/shopd",
            ));
        }
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if !host.split(['.', '-', ':']).all(is_word) {
            return Err(wrong("the host has other characters than a host's"));
        }
        if !path
            .split('/')
            .all(|part| part.split(['.', '_', '-']).all(is_word))
        {
            return Err(wrong(
                "the path is small letters and digits, with single `.`, `_`, `-` and `/` between them",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(
                "a tag is up to 128 letters, digits, `_`, `.` and `-`, none of the last two first",
            ));
        }
        Ok(Self {
            repository: format!("{host}/{path}"),
            tag: tag.map(str::to_owned),
        })
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && !text.is_empty()
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::ImageName;

    #[test]
    fn full_names_are_taken_as_they_are() {
        for text in [
            "localhost/shopctl/shopd",
            "localhost/shopctl/shopd:1a2b",
            "localhost:5000/shopd:v1",
            "docker.io/rancher/mirrored-pause:3.6",
            "docker.io/rancher/klipper-helm:v0.9.10-build20251111",
        ] {
            assert_eq!(text.parse::<ImageName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_containerd_would_read_otherwise_is_refused() {
        for (text, reason) in [
            ("shopd", "registry's host"),
            ("library/shopd:1", "registry's host"),
            ("docker.io/Shop:1", "small letters"),
            ("docker.io/shop//a:1", "small letters"),
            ("docker.io/:1", "small letters"),
            ("docker.io/shop:", "a tag"),
            ("docker.io/shop:-a", "a tag"),
            ("docker.io/shop:a:b", "a tag"),
            ("docker.io/shop@sha256:00", "a digest"),
            ("docker..io/shop", "the host"),
            ("", "registry's host"),
        ] {
            let error = text.parse::<ImageName>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn only_a_name_without_a_tag_gets_one() {
        let name: ImageName = "localhost/a".parse().unwrap();
        assert_eq!(name.tagged(|| "b".to_owned()).to_string(), "localhost/a:b");
        let name: ImageName = "localhost/a:c".parse().unwrap();
        assert_eq!(name.tagged(|| "b".to_owned()).to_string(), "localhost/a:c");
    }
}
