//! What rendering brings forth.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use super::Secret;
use crate::catalogue::{ComponentKind, FileMode, ProbeKind, StopSpec};

/// Everything that an instance is: what runs, what it reads, and how to tell that it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedInstance {
    /// Its name: `redis-1`.
    pub name: String,
    /// The component that it is an instance of.
    pub component: String,
    /// Server or service.
    pub kind: ComponentKind,
    /// Its number.
    pub ordinal: u32,
    /// The ports that it listens on, by name.
    pub ports: BTreeMap<String, u16>,
    /// Where clients reach it.
    pub address: String,
    /// Its command.
    pub argv: Vec<String>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// The files in its configuration folder.
    pub files: Vec<RenderedFile>,
    /// How to tell that it is ready and alive.
    pub probe: Option<RenderedProbe>,
    /// How it is asked to stop.
    pub stop: StopSpec,
    /// The commands that run once its component is ready; only the first instance has them.
    pub tasks: Vec<RenderedTask>,
    /// The programs that it runs, as a fingerprint.
    pub programs: String,
    /// The secrets that it reads from their files, as a fingerprint.
    pub secrets: String,
}

/// A file in an instance's configuration folder.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// Its path below the configuration folder.
    pub path: String,
    /// Who may read it.
    pub mode: FileMode,
    /// What is in it.
    pub content: String,
    /// Whether the value of a secret is in it.
    pub confidential: bool,
}

/// How to ask an instance how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedProbe {
    /// What is asked.
    pub kind: ProbeKind,
    /// The address that is asked.
    pub address: String,
    /// The path of an HTTP request.
    pub path: Option<String>,
    /// The command of an `exec` probe.
    pub command: Vec<String>,
    /// The user that asks.
    pub user: Option<String>,
    /// The file with the user's password.
    pub password_file: Option<String>,
    /// The time between two questions.
    pub interval_milliseconds: u64,
    /// How long an answer may take.
    pub timeout_milliseconds: u64,
    /// How many failures in a row mean that it hangs.
    pub failures: u32,
    /// How long a start may take.
    pub start_seconds: u64,
}

/// A command that runs once its component is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedTask {
    /// Its name.
    pub name: String,
    /// What it does.
    pub about: String,
    /// Its command.
    pub argv: Vec<String>,
    /// The files that it reads.
    pub files: Vec<RenderedFile>,
    /// The secrets that it reads from theirs, as a fingerprint.
    pub secrets: String,
}

impl RenderedInstance {
    /// The files of the instance and of its tasks: all that belongs into its configuration folder.
    pub fn all_files(&self) -> impl Iterator<Item = &RenderedFile> {
        self.files
            .iter()
            .chain(self.tasks.iter().flat_map(|task| &task.files))
    }

    /// A digest of all that its process depends on. Two instances with the same need not be told apart.
    pub fn digest(&self) -> String {
        let mut digest = FieldDigest::default();
        digest.list(&self.argv);
        for (name, value) in &self.environment {
            digest.field(name).field(value);
        }
        digest.field("files");
        for file in &self.files {
            digest.file(file);
        }
        digest.field(&format!("{:?}", self.probe));
        digest.field(&format!("{:?}", self.stop));
        digest.field(&self.programs).field(&self.secrets);
        digest.finish()
    }
}

impl RenderedTask {
    /// A digest of the command and of what it reads. The same one need not run again.
    pub fn digest(&self, programs: &str) -> String {
        let mut digest = FieldDigest::default();
        digest.list(&self.argv).field(programs).field(&self.secrets);
        for file in &self.files {
            digest.file(file);
        }
        digest.finish()
    }
}

impl fmt::Debug for RenderedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content may hold secrets.
        formatter
            .debug_struct("RenderedFile")
            .field("path", &self.path)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// A fingerprint of the secrets whose files are named in texts: another value is another configuration, though not a
/// byte of any text is another.
pub(super) fn fingerprint_of_secrets<'a>(
    secrets: impl Iterator<Item = &'a Secret>,
    argv: &[String],
    environment: &[String],
    files: &[RenderedFile],
) -> String {
    let texts = || {
        let files = files.iter().map(|file| &file.content);
        argv.iter().chain(environment).chain(files)
    };
    let mut digest = FieldDigest::default();
    for secret in secrets.filter(|secret| texts().any(|text| text.contains(&secret.path))) {
        digest.field(&secret.path).field(secret.expose());
    }
    digest.finish()
}

/// A digest over fields, each with its length, so that no two lists of fields look the same.
#[derive(Default)]
struct FieldDigest(Sha256);

impl FieldDigest {
    fn field(&mut self, text: &str) -> &mut Self {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
        self
    }

    fn list(&mut self, texts: &[String]) -> &mut Self {
        self.0.update((texts.len() as u64).to_be_bytes());
        for text in texts {
            self.field(text);
        }
        self
    }

    fn file(&mut self, file: &RenderedFile) -> &mut Self {
        self.field(&file.path)
            .field(&file.mode.bits().to_string())
            .field(&file.content)
    }

    fn finish(self) -> String {
        hex::encode(&self.0.finalize()[..16])
    }
}
