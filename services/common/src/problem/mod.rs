//! Errors as RFC 9457 problem documents (`application/problem+json`).
//!
//! A [`Problem`] says what the caller may know. What went wrong inside is logged together with the request id,
//! which the document carries, and never shown. [`DatabaseProblem`] turns Postgres' errors into problems, a
//! constraint into the domain error it stands for.

mod database;
mod document;
mod kind;

pub use database::{ConstraintProblem, DatabaseProblem, is_outage};
pub(crate) use document::PROBLEM_JSON;
pub use document::{Problem, ProblemDocument, Result};
pub use kind::ProblemKind;
