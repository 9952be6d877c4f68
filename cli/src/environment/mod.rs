//! The environment: what an environment file asks for, complete and valid.
//!
//! [`Environment`] cannot be wrong: whoever holds one needs no checks and no defaults of their own. Not here: finding
//! and reading files (`project`), and showing what is wrong with one (`ui`). Knows no clock, file or runtime.

mod model;

pub use model::*;
