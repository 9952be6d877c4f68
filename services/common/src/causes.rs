//! An error and its causes in one line, for logs and for readiness details.

use std::error::Error;
use std::fmt;

/// Shows an error with all its causes, leaving out those that the error's own text ends with already.
pub struct Causes<'a, E: ?Sized>(pub &'a E);

impl<E: Error + ?Sized> fmt::Display for Causes<'_, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        formatter.write_str(&shown)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !shown.ends_with(&text) {
                write!(formatter, ": {text}")?;
            }
            shown = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn error(texts: &[&'static str]) -> Layer {
        Layer {
            text: texts[0],
            source: (texts.len() > 1).then(|| Box::new(error(&texts[1..]))),
        }
    }

    #[test]
    fn causes_follow_the_error_that_they_caused() {
        let error = error(&["failed to fetch", "connection refused"]);
        assert_eq!(
            Causes(&error).to_string(),
            "failed to fetch: connection refused"
        );
    }

    #[test]
    fn a_cause_that_the_error_shows_itself_is_not_repeated() {
        let error = error(&["failed to fetch: reset", "reset", "by peer"]);
        assert_eq!(
            Causes(&error).to_string(),
            "failed to fetch: reset: by peer"
        );
    }
}
