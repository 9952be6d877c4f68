//! The certificate of the way in: read from the cluster, from files, or made once.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

use super::{K3sError, NAMESPACE};
use crate::cluster::{Cluster, ObjectKey};
use crate::environment::{Environment, TlsKind};
use crate::render::{Secret, TlsFiles};

/// Who a certificate of ours says that it is of.
const ISSUED_BY: &str = "shopctl";

/// The certificate that is wanted: none if the way in speaks no TLS, or if somebody else's Secret holds it.
pub(super) async fn wanted(
    cluster: Option<&Cluster>,
    environment: &Environment,
    beside: &Path,
) -> Result<Option<TlsFiles>, K3sError> {
    let ingress = &environment.ingress;
    let Some(name) = ingress.tls_secret() else {
        return Ok(None);
    };
    match ingress.tls.kind {
        TlsKind::Off => Ok(None),
        TlsKind::Secret => {
            if let Some(cluster) = cluster
                && read(cluster, name).await?.is_none()
            {
                return Err(K3sError::NoCertificate(name.to_owned()));
            }
            Ok(None)
        }
        TlsKind::Files => from_files(environment, beside).map(Some),
        TlsKind::SelfSigned => {
            let kept = match cluster {
                Some(cluster) => read(cluster, name).await?,
                None => None,
            };
            // One for another name would be refused by every client.
            match kept.filter(|kept| is_for(&kept.certificate, &ingress.host)) {
                Some(kept) => Ok(Some(kept)),
                None => make(&ingress.host).map(Some),
            }
        }
    }
}

/// The certificate that a Secret of the cluster holds.
pub(super) async fn read(cluster: &Cluster, name: &str) -> Result<Option<TlsFiles>, K3sError> {
    let key = ObjectKey {
        group: String::new(),
        kind: "Secret".to_owned(),
        namespace: Some(NAMESPACE.to_owned()),
        name: name.to_owned(),
    };
    let found = cluster.get(&key).await?;
    let of = |field: &str| {
        let encoded = found
            .as_ref()?
            .get("data")?
            .get(field)
            .and_then(Value::as_str)?;
        String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
    };
    Ok(of("tls.crt")
        .zip(of("tls.key"))
        .map(|(certificate, key)| TlsFiles {
            certificate,
            key: Secret::new(format!("{name}/tls.key"), key),
        }))
}

fn from_files(environment: &Environment, beside: &Path) -> Result<TlsFiles, K3sError> {
    let tls = &environment.ingress.tls;
    let file = |path: &Option<String>| {
        let path = beside.join(path.as_deref().unwrap_or_default());
        std::fs::read_to_string(&path).map_err(|error| K3sError::Certificate {
            reason: format!("{}: {error}", path.display()),
        })
    };
    let path = tls.key.clone().unwrap_or_default();
    Ok(TlsFiles {
        certificate: file(&tls.certificate)?,
        key: Secret::new(path, file(&tls.key)?),
    })
}

fn make(host: &str) -> Result<TlsFiles, K3sError> {
    let failed = |error: rcgen::Error| K3sError::Certificate {
        reason: error.to_string(),
    };
    let mut parameters = CertificateParams::new(vec![host.to_owned()]).map_err(failed)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, ISSUED_BY);
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, host);
    parameters.not_before = date_time_ymd(2024, 1, 1);
    parameters.not_after = date_time_ymd(2044, 1, 1);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    Ok(TlsFiles {
        certificate: certificate.pem(),
        key: Secret::new("ingress-tls/tls.key", key.serialize_pem()),
    })
}

/// What a `UTF8String` begins with in DER, as ours have their name in one; its length follows (ITU-T X.690, 8.1.3).
const TEXT: u8 = 0x0c;
/// Longer ones say first in how many bytes their length stands.
const LONG: u8 = 0x81;

/// Whether a certificate of ours is for a name, and not for a longer one that has it in it.
fn is_for(certificate: &str, host: &str) -> bool {
    let body: String = certificate
        .lines()
        .skip_while(|line| !line.contains("BEGIN CERTIFICATE"))
        .skip(1)
        .take_while(|line| !line.contains("END CERTIFICATE"))
        .collect();
    let Ok(length) = u8::try_from(host.len()) else {
        return false;
    };
    let begins: &[u8] = if length < 0x80 {
        &[TEXT, length]
    } else {
        &[TEXT, LONG, length]
    };
    let name = [begins, host.as_bytes()].concat();
    STANDARD
        .decode(body)
        .is_ok_and(|der| der.windows(name.len()).any(|window| window == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_for_the_name_that_it_was_made_for() {
        let made = make("shop.example.com").unwrap();
        assert!(is_for(&made.certificate, "shop.example.com"));
        assert!(!is_for(&made.certificate, "other.example.com"));
        assert!(!is_for(&made.certificate, "example.com"));
        assert!(!is_for(&made.certificate, "hop.example.com"));
        for host in ["192.0.2.7", &"a.".repeat(100)] {
            assert!(is_for(&make(host).unwrap().certificate, host), "{host}");
        }
        assert!(made.key.expose().contains("PRIVATE KEY"));
        assert!(!format!("{made:?}").contains("PRIVATE KEY"));
    }
}
