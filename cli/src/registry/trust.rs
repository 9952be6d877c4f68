//! Whose certificates are believed: those of the authorities that this machine knows, and of the one in the
//! environment's file. That file may also be the registry's own certificate, as `openssl req -x509` makes one.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Access, RegistryError};

/// How TLS is spoken with a registry.
pub(super) fn config(access: &Access) -> Result<ClientConfig, RegistryError> {
    let provider = Arc::new(ring::default_provider());
    let given = given(access)?;
    let mut roots = RootCertStore::empty();
    // One that this machine cannot read is one authority less.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(given.iter().cloned());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(access, error.to_string()))?;
    if roots.is_empty() {
        // Then nobody is believed, and the error of the connection says so.
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unusable(access, error.to_string()))?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Given { given, usual }))
        .with_no_client_auth())
}

fn given(access: &Access) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let Some(text) = &access.authority else {
        return Ok(Vec::new());
    };
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(access, error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(
            access,
            "it holds no certificate in PEM".to_owned(),
        ));
    }
    Ok(found)
}

fn unusable(access: &Access, reason: String) -> RegistryError {
    RegistryError::Authority {
        path: access.authority_file.clone().unwrap_or_default(),
        reason,
    }
}

/// Believes whom the usual rules believe, and a certificate that was given itself, for the names that it is for.
#[derive(Debug)]
struct Given {
    given: Vec<CertificateDer<'static>>,
    usual: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Given {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.given.contains(end_entity) {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            verify_server_name(&parsed, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.usual
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
