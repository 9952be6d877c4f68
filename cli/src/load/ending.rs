//! How k6 ended, by its documented exit codes. Pure.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// How k6 ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everything was done.
    Done,
    /// Everything was done, and a threshold that the script sets was missed.
    Thresholds,
    /// It was asked to stop.
    Stopped,
    /// The script is wrong.
    Refused,
    /// Another exit code.
    Code(i32),
    /// A signal.
    Signal(i32),
    /// Nobody knows.
    Unknown(String),
}

impl Ending {
    /// How a process ended.
    pub(super) fn of(ended: io::Result<ExitStatus>) -> Self {
        let status = match ended {
            Ok(status) => status,
            Err(error) => return Self::Unknown(error.to_string()),
        };
        match (status.code(), status.signal()) {
            (Some(0), _) => Self::Done,
            (Some(99), _) => Self::Thresholds,
            (Some(105), _) => Self::Stopped,
            (Some(104 | 107), _) => Self::Refused,
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown("neither a code nor a signal".to_owned()),
        }
    }

    /// Whether it came to its own end.
    pub(super) fn is_regular(&self) -> bool {
        matches!(self, Self::Done | Self::Thresholds)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("exit code 0"),
            Self::Thresholds => f.write_str("exit code 99 (a threshold was missed)"),
            Self::Stopped => f.write_str("exit code 105 (it was asked to stop)"),
            Self::Refused => f.write_str("exit code 107 (the script is wrong)"),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown(reason) => write!(f, "nobody knows what: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(code: i32) -> Ending {
        Ending::of(Ok(ExitStatus::from_raw(code << 8)))
    }

    #[test]
    fn a_missed_threshold_is_a_regular_end_and_a_wrong_script_is_none() {
        assert!(code(0).is_regular() && code(99).is_regular());
        assert_eq!(code(107), Ending::Refused);
        assert!(!code(107).is_regular() && !code(105).is_regular());
        assert_eq!(
            Ending::of(Ok(ExitStatus::from_raw(9))).to_string(),
            "signal 9"
        );
    }
}
