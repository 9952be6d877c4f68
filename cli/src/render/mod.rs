//! Rendering: an environment and the catalogue to what each instance runs and reads.
//!
//! A typed context goes through minijinja with strict undefined, and every document that has a syntax we know is parsed
//! at once, so a bad template costs nothing: it is found before anything is touched. `objects` does the same for a
//! cluster, where files are mounted from `ConfigMap`s and Secrets. Not here: writing the files
//! (`target`), and what an environment may say (`environment`).

mod context;
mod engine;
mod error;
mod instances;
mod objects;
mod output;
mod secret;

pub use context::{Place, ProgramFile};
pub use engine::render_text;
pub(crate) use engine::shell_quoted;
pub use error::RenderError;
pub use instances::{RenderInput, pod_host, render};
pub use objects::{
    ClusterInput, NAMESPACE, Object, ProbeTimes, TlsFiles, grace_seconds, placeholder_secrets,
    placeholder_tls, pod_secret_path, render_objects, wanted_secrets,
};
pub use output::{RenderedFile, RenderedInstance, RenderedProbe, RenderedTask};
pub use secret::{KNOWN, OTHER, Secret, SecretSet};
