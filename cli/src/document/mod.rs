//! Documents that people write: YAML with the place of every value, and what is wrong with it.
//!
//! A document is parsed once, into a tree that remembers where each value stands; a JSON Schema is held against the
//! tree, so that all problems are found at once. Both kinds of file that are read from users, environments and
//! components, go this way. Not here: reading files (`project`) and showing problems (`ui`).

mod emit;
mod format;
mod generate;
mod parse;
mod problem;
mod scalar;
mod schema;
mod suggest;
mod syntax;
mod tree;
mod words;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

pub use emit::{Notes, emit};
pub use generate::schema_of;
pub use parse::MAXIMUM_SIZE;
pub use problem::{Invalid, Problem, Related, Span};
pub use suggest::nearest;
pub use tree::{Entry, Node, Step, Value};

/// A document, and what is wrong with its form.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file, as the user named it.
    pub file: String,
    /// The text.
    pub text: String,
    /// The values with their places.
    pub root: Node,
    values: Json,
    problems: Vec<Problem>,
    complete: bool,
}

impl Document {
    /// Parses a document and holds it against a schema. Fails only where there is no text at all; what else is wrong
    /// is said by [`Document::verdict`], together with what its reader finds.
    pub fn parse(file: &str, bytes: &[u8], schema: &Json) -> Result<Self, Invalid> {
        let parsed = parse::read(file, bytes)?;
        let misfits = schema::check(&parsed.root, schema, parsed.complete);
        let mut values = parsed.root.to_json();
        for way in &misfits.ways {
            remove(&mut values, way);
        }
        let mut problems = parsed.problems;
        problems.extend(misfits.problems);
        Ok(Self {
            file: file.to_owned(),
            text: parsed.text,
            root: parsed.root,
            values,
            problems,
            complete: parsed.complete,
        })
    }

    /// The values, without those that have the wrong form.
    pub fn values(&self) -> &Json {
        &self.values
    }

    /// Whether all of it could be parsed. What was not may hold what seems to be missing.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// All problems: those of the form and `more`.
    pub fn verdict(&self, more: impl IntoIterator<Item = Problem>) -> Result<(), Invalid> {
        let problems: Vec<Problem> = self.problems.iter().cloned().chain(more).collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Invalid::new(&self.file, &self.text, problems))
        }
    }

    /// The values as a type. When they do not fit it, that is a problem of the document.
    pub fn fill<T: DeserializeOwned>(&self, values: Json) -> Result<T, Invalid> {
        serde_json::from_value(values).map_err(|error| {
            let known = self.problems.iter().cloned();
            // A value that was left out can be what is missing now.
            let unknown = self
                .problems
                .is_empty()
                .then(|| Problem::whole(error.to_string()));
            Invalid::new(&self.file, &self.text, known.chain(unknown).collect())
        })
    }
}

/// Removes the value at the end of a way. A list goes as a whole: its other items keep their places that way.
fn remove(values: &mut Json, way: &[String]) {
    let [key, rest @ ..] = way else {
        *values = Json::Object(serde_json::Map::new());
        return;
    };
    let Json::Object(fields) = values else {
        return;
    };
    match fields.get_mut(key) {
        Some(inner @ Json::Object(_)) if !rest.is_empty() => remove(inner, rest),
        Some(_) => drop(fields.remove(key)),
        None => {}
    }
}
