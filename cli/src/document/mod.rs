//! Documents that people write: YAML with the place of every value, and what is wrong with it.
//!
//! A document is parsed once, into a tree that remembers where each value stands; a JSON Schema is held against the
//! tree, so that all problems are found at once. Both kinds of file that are read from users, environments and
//! components, go this way. Not here: reading files (`project`) and showing problems (`ui`).

mod emit;
mod generate;
mod parse;
mod problem;
mod schema;
mod suggest;
mod tree;

pub use emit::{Notes, emit};
pub use generate::schema_of;
pub use parse::MAXIMUM_SIZE;
pub use problem::{Invalid, Problem, Related, Span};
pub use suggest::nearest;
pub use tree::{Entry, Node, Step, Value};

/// A document that has the form that its schema asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file, as the user named it.
    pub file: String,
    /// The text.
    pub text: String,
    /// The values with their places.
    pub root: Node,
}

impl Document {
    /// Parses a document and holds it against a schema. After a syntax error, what stands before it is still checked.
    pub fn parse(file: &str, bytes: &[u8], schema: &serde_json::Value) -> Result<Self, Invalid> {
        let parsed = parse::read(file, bytes)?;
        let mut problems = parsed.problems;
        problems.extend(schema::check(&parsed.root, schema, parsed.complete));
        if problems.is_empty() {
            Ok(Self {
                file: file.to_owned(),
                text: parsed.text,
                root: parsed.root,
            })
        } else {
            Err(Invalid::new(file, parsed.text, problems))
        }
    }

    /// The document as invalid, with these problems, if there are any.
    pub fn refuse(&self, problems: Vec<Problem>) -> Result<(), Invalid> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Invalid::new(&self.file, &self.text, problems))
        }
    }
}
