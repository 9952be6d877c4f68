//! Reads a TOML file into a service's typed configuration.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a configuration file or a secret it names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, or may not be read.
    #[error("failed to read configuration {}: {source}", path.display())]
    Unreadable {
        /// The configuration file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not TOML, or does not say what the service needs.
    #[error("failed to understand configuration {}:{line}:{column}: {message} (in `{text}`)", path.display())]
    Invalid {
        /// The configuration file.
        path: PathBuf,
        /// Line of the offending text, from 1.
        line: usize,
        /// Column of the offending text, from 1.
        column: usize,
        /// What is wrong with it.
        message: String,
        /// The line as it stands in the file.
        text: String,
    },
    /// A secret's file is not there, or may not be read.
    #[error("failed to read the secret for {purpose} from {}: {source}", path.display())]
    SecretUnreadable {
        /// What the secret is for.
        purpose: String,
        /// The secret's file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A secret's file holds nothing but white space.
    #[error("failed to use the secret for {purpose} from {}: the file is empty", path.display())]
    SecretEmpty {
        /// What the secret is for.
        purpose: String,
        /// The secret's file.
        path: PathBuf,
    },
    /// A value is well-formed but cannot be used.
    #[error("failed to use configuration value {key}: {message}")]
    Unusable {
        /// The key as it stands in the file, with its section.
        key: String,
        /// What is wrong with the value.
        message: String,
    },
}

/// Loads a service's configuration from a file.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

/// Parses configuration text; `path` only names it in errors.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        let (line, column, line_text) = locate(text, offset);
        ConfigError::Invalid {
            path: path.to_owned(),
            line,
            column,
            message: error.message().trim().replace('\n', ", "),
            text: line_text.trim().to_owned(),
        }
    })
}

/// Line and column (from 1) of a byte offset, and the text of that line.
fn locate(text: &str, offset: usize) -> (usize, usize, &str) {
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if offset < start + line.len() {
            return (index + 1, offset - start + 1, line.trim_end());
        }
        start += line.len();
    }
    (
        text.lines().count().max(1),
        1,
        text.lines().last().unwrap_or(""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HttpConfig;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Config {
        http: HttpConfig,
    }

    const GOOD: &str = "[http]\nlisten = \"127.0.0.1:0\"\nadminListen = \"127.0.0.1:0\"\n";

    fn message(text: &str) -> String {
        parse::<Config>(Path::new("order.toml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_complete_section_takes_its_defaults() {
        let config: Config = parse(Path::new("order.toml"), GOOD).unwrap();
        assert_eq!(config.http.drain_seconds, 10);
    }

    #[test]
    fn an_unknown_key_is_named_with_file_line_and_text() {
        let message = message(&format!("{GOOD}drainSecond = 3\n"));
        assert!(message.contains("order.toml:4:1"), "{message}");
        assert!(message.contains("unknown field `drainSecond`"), "{message}");
        assert!(message.contains("`drainSeconds`"), "{message}");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_line() {
        let message = message(&format!("{GOOD}drainSeconds = \"soon\"\n"));
        assert!(message.contains("order.toml:4:16"), "{message}");
        assert!(message.contains("drainSeconds = \"soon\""), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Config>(Path::new("/nonexistent/order.toml")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("failed to read configuration /nonexistent/order.toml"),
            "{error}"
        );
    }

    #[test]
    fn an_offset_in_the_middle_of_a_wide_character_does_not_panic() {
        assert_eq!(locate("ä = 1", 1), (1, 2, "ä = 1"));
    }
}
