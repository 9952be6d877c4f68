//! A host that answers as a test says.

use futures_util::future::BoxFuture;

use super::{Command, Exit, Host, HostError, Output};

type Answer = Box<dyn Fn(&Command) -> Result<Output, HostError> + Send + Sync>;

/// A host with answers for what is done on it, told by what each command says it does.
pub(crate) struct FakeHost {
    name: String,
    answers: Vec<(String, Answer)>,
}

impl FakeHost {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            answers: Vec::new(),
        }
    }

    /// What comes of commands whose purpose contains `about`; the first that fits counts.
    pub(crate) fn answers(
        mut self,
        about: &str,
        answer: impl Fn(&Command) -> Result<Output, HostError> + Send + Sync + 'static,
    ) -> Self {
        self.answers.push((about.to_owned(), Box::new(answer)));
        self
    }

    /// A command that ends well and prints a text.
    pub(crate) fn says(self, about: &str, text: &str) -> Self {
        let text = text.to_owned();
        self.answers(about, move |_| Ok(said(0, &text, "")))
    }
}

/// An output.
pub(crate) fn said(code: i32, stdout: &str, stderr: &str) -> Output {
    Output {
        exit: Exit::Code(code),
        stdout: stdout.into(),
        stderr: stderr.into(),
        cut: false,
    }
}

impl Host for FakeHost {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        &self.name
    }

    fn run(&self, command: Command) -> BoxFuture<'_, Result<Output, HostError>> {
        let answer = self
            .answers
            .iter()
            .find(|(about, _)| command.about().contains(about.as_str()));
        let output = match answer {
            Some((_, answer)) => answer(&command),
            None => Ok(said(0, "", "")),
        };
        Box::pin(async move { output })
    }
}
