//! What `shopd provision` is told to make.

use std::fmt;

use serde::Deserialize;

use crate::config::SecretFile;

/// The file of `shopd provision`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProvisionConfig {
    /// The server, and who may change it.
    pub postgres: SuperuserConfig,
    /// A role and its schema for each service.
    #[serde(default)]
    pub roles: Vec<RoleConfig>,
    /// The accountant's role.
    pub auditor: AuditorConfig,
}

/// `[postgres]`: the server, and who may change it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SuperuserConfig {
    /// A host name, an address, or the folder of a unix socket.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The database to make.
    pub database: SqlName,
    /// A superuser.
    pub user: SqlName,
    /// The superuser's password.
    pub password_file: SecretFile,
    /// The password that it may still have: then it is given the one above.
    #[serde(default)]
    pub other_password_file: Option<SecretFile>,
}

/// `[[roles]]`: a service's role.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RoleConfig {
    /// The role.
    pub name: SqlName,
    /// The schema that it owns and that its unqualified names mean.
    pub schema: SqlName,
    /// Its password.
    pub password_file: SecretFile,
}

/// `[auditor]`: a role that changes nothing and reads what the services' migrations grant to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuditorConfig {
    /// The role.
    pub name: SqlName,
    /// Its password.
    pub password_file: SecretFile,
}

/// A name in SQL that needs no quotes: lower-case letters, digits and `_`, not a digit first, at most 63.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SqlName(String);

impl SqlName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SqlName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let sound = (1..=63).contains(&name.len())
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if sound {
            Ok(Self(name))
        } else {
            Err(format!(
                "{name:?} is no name for SQL: use at most 63 lower-case letters, digits and `_`, not a digit first"
            ))
        }
    }
}

impl fmt::Display for SqlName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_need_quotes_are_refused() {
        for bad in [
            "",
            "1shop",
            "Shop",
            "shop-order",
            "shop\"; DROP",
            &"x".repeat(64),
        ] {
            assert!(SqlName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(SqlName::try_from("shop_order".to_owned()).is_ok());
    }
}
