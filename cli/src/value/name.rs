//! Names that become parts of paths, socket names and Kubernetes objects.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest name: an object's name adds an ordinal and a suffix and must stay below 63 characters.
const MAXIMUM_LENGTH: usize = 40;

/// Why a text cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing in it.
    #[error("a name cannot be empty")]
    Empty,
    /// It would not fit where names are used.
    #[error("a name has at most {MAXIMUM_LENGTH} characters, this one has {0}")]
    TooLong(usize),
    /// It holds a character that a path or an object's name must not hold.
    #[error("a name cannot hold {0:?}")]
    Character(char),
    /// It begins with a digit or a dash, or ends with a dash.
    #[error("a name begins with a letter and does not end with '-'")]
    Edge,
}

/// Checks the rule that all names share: a DNS label that begins with a letter.
fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let length = text.chars().count();
    if length > MAXIMUM_LENGTH {
        return Err(NameError::TooLong(length));
    }
    if let Some(wrong) = text
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
    {
        return Err(NameError::Character(wrong));
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) || text.ends_with('-') {
        return Err(NameError::Edge);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "format": $format,
                    "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$",
                    "maxLength": MAXIMUM_LENGTH,
                })
            }
        }
    };
}

name!(
    /// The name of a component: the folder under `templates/` that declares it.
    ComponentName,
    "component-name"
);
name!(
    /// The name of a host: of its node in the cluster.
    HostName,
    "host-name"
);
name!(
    /// The name of an environment: part of the state folder's path and of everything that is made for it.
    EnvironmentName,
    "environment-name"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label_that_begins_with_a_letter() {
        for good in ["a", "redis", "single-node", "lab2"] {
            assert_eq!(good.parse::<ComponentName>().unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", NameError::Empty),
            ("Redis", NameError::Character('R')),
            ("../etc", NameError::Character('.')),
            ("1st", NameError::Edge),
            ("-a", NameError::Edge),
            ("a-", NameError::Edge),
        ] {
            assert_eq!(bad.parse::<ComponentName>().unwrap_err(), why, "{bad:?}");
        }
        let long = "a".repeat(41);
        assert_eq!(
            long.parse::<EnvironmentName>().unwrap_err(),
            NameError::TooLong(41)
        );
    }
}
