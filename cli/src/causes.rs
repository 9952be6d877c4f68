//! Errors with what caused them, in one line.

use std::error::Error;

/// An error and its causes. One that the words before it tell already is left out.
pub fn with_causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}

/// The first cause, which is the only one that says anything of a failed connection: "connection refused" instead of
/// "error sending request".
pub fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{about}")]
    struct About {
        about: &'static str,
        source: io::Error,
    }

    #[test]
    fn causes_are_told_once_and_the_first_one_alone() {
        let told = |about| {
            let source = io::Error::other("refused");
            let error = About { about, source };
            (with_causes(&error), innermost(&error))
        };
        assert_eq!(
            told("no answer"),
            ("no answer: refused".to_owned(), "refused".to_owned())
        );
        assert_eq!(told("it was refused").0, "it was refused");
    }
}
