//! How errors of Postgres become problems.

use std::time::Duration;

use super::{Problem, ProblemKind};

/// A constraint of a service's tables and the problem that its violation means.
pub type ConstraintProblem = (&'static str, fn() -> Problem);

/// How long a caller should wait before trying again when the database is away.
const COME_BACK: Duration = Duration::from_secs(1);

/// Turns an error of the database into a problem.
pub trait DatabaseProblem {
    /// The problem for the caller: that of the violated constraint if `constraints` names it, `unavailable` or
    /// `timeout` if the database was not there in time, else `internal`, logged with its cause.
    fn into_problem(self, constraints: &[ConstraintProblem]) -> Problem;
}

impl DatabaseProblem for sqlx::Error {
    fn into_problem(self, constraints: &[ConstraintProblem]) -> Problem {
        if let Some(problem) = constraint_problem(&self, constraints) {
            return problem;
        }
        if is_outage(&self) {
            tracing::warn!(error = %self, "the database was not available to a request");
            return Problem::unavailable(COME_BACK);
        }
        if sql_state(&self).as_deref() == Some(QUERY_CANCELED) {
            tracing::warn!(error = %self, "a statement took longer than it may");
            return Problem::new(ProblemKind::Timeout);
        }
        Problem::internal(&self)
    }
}

const QUERY_CANCELED: &str = "57014";

fn constraint_problem(error: &sqlx::Error, constraints: &[ConstraintProblem]) -> Option<Problem> {
    let violated = error.as_database_error()?.constraint()?;
    constraints
        .iter()
        .find(|(constraint, _)| *constraint == violated)
        .map(|(_, problem)| problem())
}

fn sql_state(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the error means that Postgres was not there, rather than that it disagreed: connecting again may help.
/// What a statement that was under way has done is then unknown.
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => sql_state(error).is_some_and(|state| {
            // Connection exceptions; shut down, crashed or starting up; too many connections.
            state.starts_with("08") || matches!(&*state, "57P01" | "57P02" | "57P03" | "53300")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_is_unavailable_with_a_time_to_come_back() {
        let gone = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        for error in [gone, sqlx::Error::PoolTimedOut] {
            let problem = error.into_problem(&[]);
            assert_eq!(problem.kind(), ProblemKind::Unavailable);
            assert_eq!(problem.headers().len(), 1);
        }
    }

    #[test]
    fn an_error_that_nobody_expected_is_internal() {
        let problem = sqlx::Error::ColumnNotFound("secret".to_owned()).into_problem(&[]);
        assert_eq!(problem.kind(), ProblemKind::Internal);
        assert_eq!(problem.detail(), None);
    }
}
