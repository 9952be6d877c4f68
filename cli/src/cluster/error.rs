//! What can go wrong with a cluster.

use std::path::PathBuf;

use kube::core::Status;

use super::conflict::Conflict;
use super::explain::Late;

/// What failed, with its object.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig cannot be used.
    #[error("failed to use the kubeconfig {path}: {reason}")]
    Kubeconfig {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The API server did not answer.
    #[error("failed to {doing}: the API server {server} does not answer ({reason})")]
    Unreachable {
        /// What was wanted.
        doing: String,
        /// Who was asked.
        server: String,
        /// What was seen last.
        reason: String,
    },
    /// The API server refused.
    #[error("failed to {doing}: {reason}")]
    Refused {
        /// What was wanted.
        doing: String,
        /// Its HTTP status.
        code: u16,
        /// The API server's word for it, as in `Invalid`.
        word: String,
        /// What it said.
        reason: String,
    },
    /// Others set fields that are ours.
    #[error("failed to apply {object}: others set what the environment says otherwise: {}", fields(.conflicts))]
    Conflict {
        /// The object.
        object: String,
        /// The fields, and who set them.
        conflicts: Vec<Conflict>,
    },
    /// The API server does not know a kind.
    #[error("failed to apply {object}: the cluster has no kind {kind} in {api_version}")]
    UnknownKind {
        /// The object.
        object: String,
        /// Its kind.
        kind: String,
        /// Its API version.
        api_version: String,
    },
    /// An object of a manifest is not one.
    #[error("failed to read a manifest: {reason}")]
    Malformed {
        /// What it lacks.
        reason: String,
    },
    /// An object that is wanted belongs to another environment.
    #[error("failed to take over {object}: it belongs to the environment `{environment}`")]
    Foreign {
        /// The object.
        object: String,
        /// Whose it is.
        environment: String,
    },
    /// Something did not become ready.
    #[error("failed to wait for {}: {}", .0.object, .0.summary())]
    Late(Box<Late>),
    /// Something is not gone in time.
    #[error("failed to wait for the end of {object}: it is still there after {seconds} s{detail}")]
    NotGone {
        /// The object.
        object: String,
        /// How long was waited.
        seconds: u64,
        /// What holds it.
        detail: String,
    },
    /// Somebody else is at work.
    #[error("failed to begin: {holder} is at work on this cluster since {since}")]
    Busy {
        /// Who.
        holder: String,
        /// Since when.
        since: String,
    },
    /// The lease went to somebody else, or could not be kept.
    #[error("failed to go on: {reason}")]
    LeaseLost {
        /// How.
        reason: String,
    },
    /// Secrets that data know are gone.
    #[error("failed to find the secret `{name}`, which the data in {claim} know")]
    LostSecret {
        /// Its name.
        name: String,
        /// The claim.
        claim: String,
    },
    /// A secret in the cluster is not what it should be.
    #[error("failed to use the secret `{name}`: {reason}")]
    UnusableSecret {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// It was stopped.
    #[error("failed to finish: stopped by Ctrl-C")]
    Interrupted,
}

impl ClusterError {
    /// What to do about it, a sentence each.
    pub fn hints(&self) -> Vec<String> {
        let hint = |text: &str| vec![text.to_owned()];
        match self {
            Self::Kubeconfig { .. } => {
                hint("`shopctl up` writes it anew from the first server that answers")
            }
            Self::Unreachable { .. } => hint(
                "check that the first server runs (`systemctl status k3s` there) and that port 6443 can be reached from here",
            ),
            Self::Refused { code: 401 | 403, .. } => hint(
                "the kubeconfig's user may not do this: use the one that `shopctl up` wrote, or ask for the right",
            ),
            Self::Refused { word, reason, .. } if word == "Invalid" => {
                if reason.contains("forbidden") || reason.contains("immutable") {
                    hint(
                        "this cannot be changed in place: put it back in the environment file, or delete the object yourself (`kubectl delete`), which loses what it holds, and run `shopctl up`",
                    )
                } else {
                    hint("nothing was applied; the template that renders this object has to be corrected")
                }
            }
            Self::Conflict { .. } => vec![
                "write what you want into the environment file, and let it win: `shopctl up --force-conflicts` takes these fields back".to_owned(),
                "`shopctl plan` shows both values".to_owned(),
            ],
            Self::Foreign { environment, .. } => vec![format!(
                "use another namespace or cluster, or remove that shop first: `shopctl down -e {environment} --purge`"
            )],
            Self::UnknownKind { .. } => hint(
                "its definition (CRD) is missing: was a component disabled in the k3s settings that brings it?",
            ),
            Self::Late(late) => late.hints(),
            Self::NotGone { .. } => {
                hint("a finalizer or a volume in use may hold it: `kubectl describe` says which")
            }
            Self::Busy { .. } => hint(
                "wait for it to end; if it was killed, its lease expires by itself and the next run goes on",
            ),
            Self::LeaseLost { .. } => hint("run it again: it goes on from what there is"),
            Self::LostSecret { .. } => vec![
                "restore the Secret from a backup: another password would not open these data".to_owned(),
                "`shopctl down --purge` deletes the data, and the next `up` begins anew".to_owned(),
            ],
            Self::UnusableSecret { .. } => {
                hint("restore it, or delete the Secret if nothing needs it, and `shopctl up` makes another")
            }
            Self::Refused { .. } | Self::Malformed { .. } | Self::Interrupted => Vec::new(),
        }
    }

    /// Of an answer of the API server.
    pub(super) fn of_status(doing: String, status: &Status, hide: bool) -> Self {
        let causes: Vec<&str> = status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .map(|cause| cause.field.as_str())
            .filter(|field| !field.is_empty())
            .collect();
        let reason = if hide {
            // What the API server says of a Secret may quote what is in it.
            format!("{} ({})", status.reason, causes.join(", "))
        } else if status.message.is_empty() {
            status.reason.clone()
        } else {
            status.message.clone()
        };
        Self::Refused {
            doing,
            code: status.code,
            word: status.reason.clone(),
            reason,
        }
    }

    /// Whether the API server says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether it may go better at once or soon.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Refused {
                    code: 429 | 500 | 502 | 503 | 504,
                    ..
                }
        )
    }
}

fn fields(conflicts: &[Conflict]) -> String {
    let told: Vec<String> = conflicts
        .iter()
        .map(|conflict| format!("{} ({})", conflict.field, conflict.owner))
        .collect();
    told.join(", ")
}
