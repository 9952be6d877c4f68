//! The environment: what an environment file asks for, complete and valid.
//!
//! [`Environment`] cannot be wrong: whoever holds one needs no checks and no defaults of their own. Not here: finding
//! and reading files (`project`), and showing what is wrong with one (`ui`). Knows no clock, file or runtime.

mod capacity;
mod check;
mod defaults;
mod file;
mod model;
mod schema;

pub use file::EnvironmentFile;
pub use model::*;
pub use schema::schema;
