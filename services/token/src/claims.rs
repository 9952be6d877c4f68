//! What a token says about its bearer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The payload of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token.
    pub iss: String,
    /// Whom the token is meant for. Always one audience, never a list.
    pub aud: String,
    /// The account that the token stands for.
    pub sub: Uuid,
    /// What the account may do.
    pub role: Role,
    /// When the token was issued, in seconds since the epoch.
    pub iat: i64,
    /// When the token ends, in seconds since the epoch.
    pub exp: i64,
    /// The token's own identity, for logs: unlike the token it is no secret.
    pub jti: Uuid,
    /// The tag of the test that the account belongs to. Such accounts see and buy only products
    /// with the same tag, and all that they made is removed with the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Buys.
    Customer,
    /// Runs the shop: products, stock, sales, test data.
    Admin,
}

impl Role {
    /// The role's name in tokens and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A role's name that nobody knows.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("failed to read the role `{0}`: it is neither `customer` nor `admin`")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "customer" => Ok(Self::Customer),
            "admin" => Ok(Self::Admin),
            other => Err(UnknownRole(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_back_what_it_writes() {
        for role in [Role::Customer, Role::Admin] {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    #[test]
    fn a_role_in_capitals_is_unknown() {
        assert_eq!("Admin".parse::<Role>(), Err(UnknownRole("Admin".into())));
    }
}
