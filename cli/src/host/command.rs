//! What is run on a host, and what came of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a command may take if nobody says otherwise.
const USUAL_DEADLINE: Duration = Duration::from_mins(1);
/// How much a command may write if nobody says otherwise.
const USUAL_LIMIT: usize = 4 << 20;

/// What every script begins with: programs of the system are found whoever runs it, and speak English.
const PRELUDE: &str = "PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH LC_ALL=C\n";

/// A command: its arguments, its input, and its limits.
#[derive(Clone, Debug)]
pub struct Command {
    about: String,
    argv: Vec<String>,
    input: Input,
    deadline: Duration,
    limit: usize,
    as_root: bool,
}

impl Command {
    /// A command of arguments. `about` says what it does: "start k3s".
    pub fn new(
        about: impl Into<String>,
        argv: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            about: about.into(),
            argv: argv.into_iter().map(Into::into).collect(),
            input: Input::Nothing,
            deadline: USUAL_DEADLINE,
            limit: USUAL_LIMIT,
            as_root: false,
        }
    }

    /// A script of the POSIX shell with its arguments. A value never goes into the script's text, only into `$1`, `$2`…
    pub fn script(
        about: impl Into<String>,
        script: &str,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let head = ["sh", "-c"].map(str::to_owned).into_iter();
        let script = [format!("{PRELUDE}{script}"), "shopctl".to_owned()];
        Self::new(
            about,
            head.chain(script)
                .chain(arguments.into_iter().map(Into::into)),
        )
    }

    /// What the command reads. Secrets go this way and no other.
    #[must_use]
    pub fn input(self, input: Input) -> Self {
        Self { input, ..self }
    }

    /// How long it may take.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// How many bytes it may write to stdout, and to stderr.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Runs it as root.
    #[must_use]
    pub fn as_root(self) -> Self {
        Self {
            as_root: true,
            ..self
        }
    }

    /// What it does.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Its arguments, the program first.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Whether it is to be run as root.
    pub fn is_as_root(&self) -> bool {
        self.as_root
    }

    pub(super) fn limits(&self) -> (Duration, usize) {
        (self.deadline, self.limit)
    }

    pub(super) fn into_input(self) -> Input {
        self.input
    }
}

/// What a command reads.
#[derive(Clone)]
pub enum Input {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// The rest of a file of this machine.
    File {
        /// The file.
        path: PathBuf,
        /// Where to begin.
        offset: u64,
        /// How far the reader has got, in the whole file.
        at: Progress,
    },
}

impl fmt::Debug for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => formatter.write_str("Nothing"),
            // It may be a secret.
            Self::Bytes(bytes) => write!(formatter, "Bytes({})", bytes.len()),
            Self::File { path, offset, .. } => write!(formatter, "File({path:?}, {offset})"),
        }
    }
}

/// How far something has got, for whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn set(&self, at: u64) {
        self.0.store(at, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with a code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
        }
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to stdout, up to its limit.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, up to its limit.
    pub stderr: Vec<u8>,
    /// Whether it wrote more than its limit.
    pub cut: bool,
}

impl Output {
    /// Whether it ended well.
    pub fn is_success(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// What it wrote to stdout, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last lines of what it wrote to stderr, or else to stdout.
    pub fn last_words(&self) -> String {
        let words = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<&str> = text
                .lines()
                .map(str::trim_end)
                .filter(|line| !line.is_empty())
                .collect();
            lines[lines.len().saturating_sub(5)..].join("\n")
        };
        let errors = words(&self.stderr);
        if errors.is_empty() {
            words(&self.stdout)
        } else {
            errors
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_reads_is_not_in_its_debug_output() {
        let command = Command::new("write a token", ["cat"]);
        let shown = format!("{:?}", command.input(Input::Bytes(b"K10secret".to_vec())));
        assert!(shown.contains("Bytes(9)"), "{shown}");
        assert!(!shown.contains("75, 49"), "{shown}");
    }

    #[test]
    fn the_last_words_are_the_end_of_stderr_or_else_of_stdout() {
        let output = |stdout: &str, stderr: &str| Output {
            exit: Exit::Code(1),
            stdout: stdout.into(),
            stderr: stderr.into(),
            cut: false,
        };
        assert_eq!(
            output("a\n", "\n1\n2\n3\n4\n5\n6\n").last_words(),
            "2\n3\n4\n5\n6"
        );
        assert_eq!(output("a\n\n", "").last_words(), "a");
    }
}
