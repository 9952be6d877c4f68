//! What is wrong with a document.

use serde::Serialize;

/// A part of a document. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// The line where it begins.
    pub line: usize,
    /// The column where it begins.
    pub column: usize,
    /// The line where it ends.
    pub end_line: usize,
    /// The column behind its end.
    pub end_column: usize,
}

impl Span {
    /// One character.
    pub const fn at(line: usize, column: usize) -> Self {
        Self {
            line,
            column,
            end_line: line,
            end_column: column + 1,
        }
    }
}

/// Another place that has to do with a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Related {
    /// The place.
    pub span: Span,
    /// What is there, in a few words.
    pub message: String,
}

/// Something that is wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The place; `None`: the document as a whole.
    pub span: Option<Span>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Another place that has to do with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Related>,
}

impl Problem {
    /// A problem at a place.
    pub fn at(span: Span, message: impl Into<String>) -> Self {
        Self {
            span: Some(span),
            message: message.into(),
            fix: None,
            related: None,
        }
    }

    /// A problem of the document as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Self {
            span: None,
            message: message.into(),
            fix: None,
            related: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related = Some(Related {
            span,
            message: message.into(),
        });
        self
    }
}

/// A document with at least one problem, and its text, so that the problems can be shown in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} has {} problem{}", problems.len(), if problems.len() == 1 { "" } else { "s" })]
pub struct Invalid {
    /// The file, as the user named it.
    pub file: String,
    /// The document's text.
    pub text: String,
    /// What is wrong, in the order of the places.
    pub problems: Vec<Problem>,
}

impl Invalid {
    /// A document with problems, brought into the order of their places.
    pub fn new(
        file: impl Into<String>,
        text: impl Into<String>,
        mut problems: Vec<Problem>,
    ) -> Self {
        problems.sort_by_key(|problem| problem.span);
        problems.dedup();
        Self {
            file: file.into(),
            text: text.into(),
            problems,
        }
    }
}
