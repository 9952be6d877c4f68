//! An e-mail address in the one form in which it is stored, compared and counted.
//!
//! Not here: whether the address exists. Only a message to it could tell.

use std::fmt;

/// The longest address that can be delivered to (RFC 5321).
const LONGEST: usize = 254;
const LONGEST_LOCAL_PART: usize = 64;

/// A normalized address: without space around it and in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Email(String);

/// Why a text is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`email` must be an address such as `ada@example.org`, of at most {LONGEST} characters")]
pub(crate) struct NotAnEmail;

impl Email {
    /// Normalizes an address and checks its shape.
    pub(crate) fn parse(text: &str) -> Result<Self, NotAnEmail> {
        let address = text.trim().to_lowercase();
        let (local, domain) = address.rsplit_once('@').ok_or(NotAnEmail)?;
        let sound = address.len() <= LONGEST
            && (1..=LONGEST_LOCAL_PART).contains(&local.len())
            && !local.contains('@')
            && !address
                .chars()
                .any(|each| each.is_whitespace() || each.is_control())
            && domain.split('.').all(is_label);
        if sound {
            Ok(Self(address))
        } else {
            Err(NotAnEmail)
        }
    }

    /// The address.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Debug output goes to logs, where addresses of customers have no place.
impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Email(…)")
    }
}

/// A part of a domain's name; letters beyond ASCII are fine, as in `bücher.example`.
fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .chars()
            .all(|each| each.is_alphanumeric() || each == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_and_case_do_not_make_another_address() {
        let email = Email::parse("  Ada.Lovelace@Example.ORG\n").unwrap();
        assert_eq!(email.as_str(), "ada.lovelace@example.org");
        assert_eq!(email, Email::parse("ada.lovelace@example.org").unwrap());
    }

    #[test]
    fn addresses_of_many_shapes_are_taken() {
        for text in [
            "a@b",
            "ada+shop@example.org",
            "ada@sub.example.co.uk",
            "käthe@bücher.example",
        ] {
            assert!(Email::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}org", "example.".repeat(40));
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "a da@example.org",
            "a@b@c",
            "ada@exa mple.org",
            "ada@.org",
            "ada@example..org",
            "ada@-x.org",
            "ada@x-.org",
            "ada@exam_ple.org",
            "ada\u{0}@example.org",
            &long,
            &longer,
        ] {
            assert_eq!(Email::parse(text), Err(NotAnEmail), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_or_normalized_for_good(text in "[A-Za-zÀ-žİΣ+. ]{1,12}@[A-Za-zÀ-ž0-9.-]{1,12}|.{0,60}") {
            if let Ok(email) = Email::parse(&text) {
                let again = Email::parse(email.as_str());
                proptest::prop_assert_eq!(again.as_ref(), Ok(&email));
                proptest::prop_assert!(email.as_str().len() <= LONGEST);
            }
        }
    }

    #[test]
    fn normalizing_twice_changes_nothing() {
        for text in [
            "İstanbul@example.org",
            "STRAßE@example.org",
            "ΣΑΣ@example.org",
        ] {
            let once = Email::parse(text).unwrap();
            assert_eq!(Email::parse(once.as_str()).unwrap(), once);
        }
    }

    #[test]
    fn debug_output_hides_the_address() {
        assert_eq!(
            format!("{:?}", Email::parse("ada@example.org").unwrap()),
            "Email(…)"
        );
    }
}
