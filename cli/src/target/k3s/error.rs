//! What can go wrong on k3s.

use time::OffsetDateTime;

use crate::bootstrap::BootstrapError;
use crate::cluster::{ClusterError, ObjectChange};
use crate::registry::RegistryError;
use crate::render::{NAMESPACE, RenderError};
use crate::target::local::LocalError;

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum K3sError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The state folder on this machine.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The hosts.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Templates that cannot be rendered.
    #[error("failed to render {}; nothing was touched", counted(.0.len()))]
    Render(Vec<RenderError>),
    /// The image of the services.
    #[error("failed to pack the image of the services: {reason}")]
    Image {
        /// Why.
        reason: String,
    },
    /// The certificate of the way in.
    #[error("failed to use the certificate of the ingress: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
    /// The Secret that holds the certificate of the way in, by its name, is not there.
    #[error(
        "failed to use the certificate of the ingress: there is no Secret {0} in the namespace {NAMESPACE}"
    )]
    NoCertificate(String),
    /// No node is ready.
    #[error("failed to find the way into the shop: no node of the cluster is ready")]
    NoNode,
    /// Objects that the API server does not accept. No object was touched.
    #[error("failed to go on: the cluster does not accept {} of the objects; none of them was touched", .0.len())]
    Refused(Vec<ObjectChange>),
    /// Objects of which others set fields. Nothing was touched.
    #[error("failed to go on: others set fields of {} of the objects to something else; nothing was touched", .0.len())]
    Contested(Vec<ObjectChange>),
    /// Removing objects was not confirmed.
    #[error("failed to go on: removing {0} was not confirmed, and nothing was touched")]
    Unconfirmed(String),
    /// Since the plan was shown something came up that would be removed.
    #[error("failed to go on: {0} would be removed, which the plan did not show")]
    Unasked(String),
    /// A pod cannot be reached.
    #[error("failed to reach the Service {service}: {reason}")]
    Tunnel {
        /// The Service.
        service: String,
        /// Why.
        reason: String,
    },
    /// The shop cannot be asked for its products, or does not take them.
    #[error("failed to seed the catalogue: {reason}")]
    Seed {
        /// Why.
        reason: String,
    },
    /// There is no such secret.
    #[error("failed to find a secret `{name}`")]
    UnknownSecret {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A component does not say how it could have two of a secret.
    #[error(
        "failed to rotate `{0}`: its component does not say how it gets along with two of them; nothing was touched"
    )]
    NotRotatable(String),
    /// A rotation has come as far as it can for now.
    #[error("failed to rotate `{name}`: what was made with the former one is good until {until}; nothing was touched", until = moment(*.until))]
    StillKept {
        /// The secret.
        name: String,
        /// The moment.
        until: OffsetDateTime,
    },
    /// There is something else to do.
    #[error("failed to rotate: the shop is not as the environment says; nothing was touched")]
    Unsettled,
    /// There is something else to do, which no secret is the reason of.
    #[error(
        "failed to go on with a rotation: {0} is not as the environment says, whatever its secrets are"
    )]
    UnsettledBy(String),
    /// The shop is not there.
    #[error("failed to find the shop `{0}`: it was never brought up from this machine")]
    NotUp(String),
}

/// A moment as people read it.
pub fn moment(moment: OffsetDateTime) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    moment
        .to_offset(time::UtcOffset::UTC)
        .format(&format)
        .unwrap_or_default()
}

fn counted(number: usize) -> String {
    match number {
        1 => "an object or file".to_owned(),
        several => format!("{several} objects or files"),
    }
}

impl K3sError {
    /// What lies beneath, a line each.
    pub fn causes(&self) -> Vec<String> {
        match self {
            Self::Cluster(ClusterError::Late(late)) => late.causes(),
            // A lone one is told by the error itself.
            Self::Bootstrap(BootstrapError::Unprepared(problems)) if problems.len() > 1 => {
                problems.iter().map(ToString::to_string).collect()
            }
            Self::Render(errors) => errors.iter().map(ToString::to_string).collect(),
            Self::Refused(changes) => changes
                .iter()
                .map(|change| {
                    let reason = change.refusal.as_deref().unwrap_or_default();
                    format!("{}: {reason}", change.object)
                })
                .collect(),
            Self::Contested(changes) => changes
                .iter()
                .flat_map(|change| {
                    change.conflicts.iter().map(move |conflict| {
                        format!(
                            "{}{} was set by {}",
                            change.object, conflict.field, conflict.owner
                        )
                    })
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// What to do about it, a sentence each.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Cluster(error) => error.hints(),
            Self::Local(error) => error.hints(),
            Self::Bootstrap(error) => error.hints(),
            Self::Registry(error) => vec![error.hint()],
            Self::Render(errors) => errors.iter().filter_map(RenderError::hint).collect(),
            Self::Image { .. } => {
                vec!["`cargo build --release -p shopctl -p shopd` builds both side by side".to_owned()]
            }
            Self::Certificate { .. } => vec![
                "`ingress.tls` in the environment file says where it comes from".to_owned(),
            ],
            Self::NoCertificate(name) => vec![format!(
                "make it, then run `shopctl up` again: `kubectl create namespace {NAMESPACE}` if there is none, and `kubectl -n \
                 {NAMESPACE} create secret tls {name} --cert=FILE --key=FILE`"
            )],
            Self::NoNode => vec!["`shopctl status` shows the nodes and what is wrong with them".to_owned()],
            Self::Refused(changes) => {
                let in_place = changes.iter().any(|change| {
                    let reason = change.refusal.as_deref().unwrap_or_default();
                    reason.contains("immutable") || reason.contains("are forbidden")
                });
                vec![if in_place {
                    "what cannot be changed in place has to be put back in the environment file, or deleted by hand (`kubectl delete`) with all it holds".to_owned()
                } else {
                    "correct the setting or the template that it comes from; `shopctl render` writes the objects as they were sent"
                        .to_owned()
                }]
            }
            Self::Contested(_) => vec![
                "write what you want into the environment file, and let it win with `shopctl up --force-conflicts`".to_owned(),
                "`shopctl plan` shows both values".to_owned(),
            ],
            Self::Unasked(_) => vec!["`shopctl up` shows the plan as it is now, and asks".to_owned()],
            Self::Unconfirmed(_) => vec!["answer y, or use `--yes` in scripts".to_owned()],
            Self::Tunnel { .. } => vec!["`shopctl status` shows what runs".to_owned()],
            Self::NotUp(_) => vec!["`shopctl up` brings it up".to_owned()],
            Self::UnknownSecret { known, .. } => vec![format!("the secrets are: {}", known.join(", "))],
            Self::NotRotatable(_) => vec!["`rotate` in its `component.yaml` says it".to_owned()],
            Self::StillKept { .. } => vec![
                "`shopctl secrets rotate --wait` waits for that and finishes it".to_owned(),
            ],
            Self::Unsettled | Self::UnsettledBy(_) => vec![
                "`shopctl plan` shows what differs, and `shopctl up` brings it in order".to_owned(),
            ],
            Self::Seed { .. } => vec!["`shopctl logs` shows what the services write".to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::Problem;

    #[test]
    fn a_lone_problem_is_told_once_and_several_one_by_one() {
        let problem = |host: &str| Problem {
            host: Some(host.to_owned()),
            what: "it has no ip".to_owned(),
            hint: "install it".to_owned(),
        };
        let of = |problems| K3sError::from(BootstrapError::Unprepared(problems));
        let lone = of(vec![problem("a")]);
        assert_eq!(lone.to_string(), "failed to begin: a: it has no ip");
        assert!(lone.causes().is_empty());
        assert_eq!(of(vec![problem("a"), problem("b")]).causes().len(), 2);
    }

    #[test]
    fn a_template_that_is_wrong_comes_with_what_templates_may_use() {
        let error = K3sError::Render(vec![RenderError::Template {
            template: "echo/echo.toml.j2".to_owned(),
            line: Some(3),
            reason: "it uses an undefined value".to_owned(),
        }]);
        assert_eq!(
            error.to_string(),
            "failed to render an object or file; nothing was touched"
        );
        assert!(error.hints()[0].contains("a template sees"));
    }
}
