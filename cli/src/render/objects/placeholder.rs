//! Secrets that say only which they are, for objects that are shown.

use super::{TlsFiles, pod_secret_path, wanted_secrets};
use crate::catalogue::{Catalogue, SecretKind};
use crate::environment::Environment;
use crate::render::{Secret, SecretSet};

/// Stands for every secret that a shop needs.
pub fn placeholder_secrets(environment: &Environment, catalogue: &Catalogue) -> SecretSet {
    wanted_secrets(environment, catalogue)
        .into_iter()
        .map(|(name, spec)| {
            let secret = Secret::new(pod_secret_path(name), format!("SECRET-{name}"));
            let secret = match spec.kind {
                SecretKind::Ed25519Key => {
                    secret.with_public(format!("{{\"keys\":[\"PUBLIC-KEY-OF-{name}\"]}}"))
                }
                SecretKind::Password | SecretKind::Token => secret,
            };
            (name.to_owned(), secret)
        })
        .collect()
}

/// Stands for the certificate of the ingress.
pub fn placeholder_tls() -> TlsFiles {
    TlsFiles {
        certificate: "CERTIFICATE-ingress-tls".to_owned(),
        key: Secret::new("", "SECRET-ingress-tls"),
    }
}
