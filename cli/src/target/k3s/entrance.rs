//! The way into a shop on a cluster as clients take it: through its ingress, on a node.
//!
//! Where TLS is spoken, a port on loopback takes plain HTTP and speaks TLS to the ingress, which must show exactly the
//! certificate that the cluster's Secret holds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::passage::gets_through;
use super::{K3sError, certificate};
use crate::cluster::{Cluster, label, list, text};
use crate::environment::Environment;

/// The way in. It closes when this is dropped.
pub struct Entrance {
    /// The name that the shop answers to.
    pub host: String,
    /// Where plain HTTP for it is taken.
    pub address: SocketAddr,
    /// The ingress itself, on a node, or where a passage to it begins.
    pub node: SocketAddr,
    /// As people reach it.
    pub url: String,
    /// The same for whoever is not told where that is: of a shop that is known by an address, where it is reached from here.
    pub dialed: String,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Entrance {
    /// Finds it.
    pub async fn find(cluster: &Cluster, environment: &Environment) -> Result<Self, K3sError> {
        let ingress = &environment.ingress;
        let port = ingress.entry_port();
        let node = node_address(cluster).await?;
        let target = reached(cluster, SocketAddr::new(node, port.port)).await?;
        let scheme = if port.tls { "https" } else { "http" };
        let host = ingress.host.clone();
        let url = format!("{scheme}://{host}:{}", port.port);
        let dialed = if ingress.is_by_address() {
            format!("{scheme}://{target}")
        } else {
            url.clone()
        };
        if !port.tls {
            return Ok(Self {
                host,
                address: target,
                node: target,
                url,
                dialed,
                task: None,
            });
        }
        let name = ingress.tls_secret().unwrap_or_default();
        let shown =
            certificate::read(cluster, name)
                .await?
                .ok_or_else(|| K3sError::Certificate {
                    reason: format!("there is no Secret {name} with one"),
                })?;
        let (address, task) = speak_tls(target, &host, &shown.certificate).await?;
        Ok(Self {
            host,
            address,
            node: target,
            url,
            dialed,
            task: Some(task),
        })
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Entrance({} at {})", self.url, self.address)
    }
}

/// The address of a node that is ready: of a server if one is, which is left alone when agents are drained or broken.
async fn node_address(cluster: &Cluster) -> Result<IpAddr, K3sError> {
    let kinds = cluster.kinds();
    let kind = kinds
        .all()
        .find(|kind| kind.kind == "Node" && kind.api_version == "v1");
    let nodes = match kind {
        Some(kind) => cluster.list(kind, None, "").await?,
        None => Vec::new(),
    };
    let ready = |node: &&serde_json::Value| {
        list(node, "/status/conditions").iter().any(|condition| {
            text(condition, "/type") == Some("Ready") && text(condition, "/status") == Some("True")
        })
    };
    let is_server =
        |node: &&serde_json::Value| label(node, "node-role.kubernetes.io/control-plane").is_some();
    let ready: Vec<&serde_json::Value> = nodes.iter().filter(ready).collect();
    let (servers, agents): (Vec<_>, Vec<_>) = ready.into_iter().partition(is_server);
    servers
        .into_iter()
        .chain(agents)
        .flat_map(|node| list(node, "/status/addresses"))
        .filter(|address| text(address, "/type") == Some("InternalIP"))
        .find_map(|address| text(address, "/address")?.parse().ok())
        .ok_or(K3sError::NoNode)
}

/// Where this machine reaches a port of a node. Hosts may know each other by addresses that lead nowhere from here: then it
/// is the address at which the API server is reached. Through a passage it is the port where that begins.
async fn reached(cluster: &Cluster, node: SocketAddr) -> Result<SocketAddr, K3sError> {
    if cluster.is_passed_to() {
        return Ok(cluster.way_to(node).await?);
    }
    if gets_through(node).await {
        return Ok(node);
    }
    let server = cluster.server_host().unwrap_or_default();
    let elsewhere = lookup_host((server.as_str(), node.port())).await;
    for candidate in elsewhere.into_iter().flatten() {
        if gets_through(candidate).await {
            return Ok(candidate);
        }
    }
    // Whoever asks there says what comes of it.
    Ok(node)
}

async fn speak_tls(
    target: SocketAddr,
    host: &str,
    certificate: &str,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), K3sError> {
    let failed = |reason: String| K3sError::Certificate { reason };
    let expected = first_certificate(certificate)
        .ok_or_else(|| failed("the Secret holds none in PEM".to_owned()))?;
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Exactly {
        expected,
        provider: Arc::clone(&provider),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let address = listener
        .local_addr()
        .map_err(|error| failed(error.to_string()))?;
    let task = tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let (connector, name) = (connector.clone(), name.clone());
            tokio::spawn(async move {
                // Whoever connected sees that the connection ends, and says so.
                let Ok(stream) = TcpStream::connect(target).await else {
                    return;
                };
                let _ = stream.set_nodelay(true);
                let _ = plain.set_nodelay(true);
                if let Ok(mut secured) = connector.connect(name, stream).await {
                    let _ = copy_bidirectional(&mut plain, &mut secured).await;
                }
            });
        }
    });
    Ok((address, task))
}

/// The first certificate of a PEM text.
fn first_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    let body: String = pem
        .lines()
        .skip_while(|line| !line.contains("BEGIN CERTIFICATE"))
        .skip(1)
        .take_while(|line| !line.contains("END CERTIFICATE"))
        .map(str::trim)
        .collect();
    let der = STANDARD.decode(body).ok()?;
    (!der.is_empty()).then(|| CertificateDer::from(der))
}

/// Takes one certificate and no other, whoever signed it.
#[derive(Debug)]
struct Exactly {
    expected: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
