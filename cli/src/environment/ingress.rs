//! How the shop is reached from outside.

use core::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The ingress class of a cluster that has none.
pub(super) const NO_CLASS: &str = "none";

/// How the shop is reached from outside. On `local` the gateway's port on 127.0.0.1 is the way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ingress {
    /// The host name that the shop answers to.
    #[schemars(length(min = 1, max = 253), extend("format" = "shop-host-name"))]
    pub host: String,
    /// The ingress class on k3s: `traefik` is brought along, any other must be there; `none`: the gateway's own port.
    #[schemars(length(min = 1, max = 63), extend("format" = "shop-class"))]
    pub class: String,
    /// Where the certificate comes from on k3s.
    pub tls: IngressTls,
    /// The port of every host that leads into the shop; absent: 80 and 443 through the cluster's load balancer, or with
    /// the class `none` 30080.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30_000, max = 32_767))]
    pub node_port: Option<u16>,
}

impl Default for Ingress {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            class: "traefik".to_owned(),
            tls: IngressTls::default(),
            node_port: None,
        }
    }
}

/// The way into a shop on k3s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPort {
    /// The port on a host.
    pub port: u16,
    /// Whether TLS is spoken there.
    pub tls: bool,
    /// Whether it is a port of every host; otherwise of the cluster's load balancer.
    pub on_nodes: bool,
}

impl Ingress {
    /// The port that clients use on k3s.
    pub fn entry_port(&self) -> EntryPort {
        if !self.has_class() {
            return EntryPort {
                port: self.node_port.unwrap_or(30_080),
                tls: false,
                on_nodes: true,
            };
        }
        let tls = self.tls.kind != TlsKind::Off;
        EntryPort {
            port: self.node_port.unwrap_or(if tls { 443 } else { 80 }),
            tls,
            on_nodes: self.node_port.is_some(),
        }
    }

    /// Whether the shop is known by an address and not by a name.
    pub fn is_by_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    /// Whether an ingress controller leads to the gateway.
    pub fn has_class(&self) -> bool {
        self.class != NO_CLASS
    }

    /// The Secret with the certificate that the ingress serves, if it speaks TLS.
    pub fn tls_secret(&self) -> Option<&str> {
        match self.tls.kind {
            _ if !self.has_class() => None,
            TlsKind::Off => None,
            TlsKind::Secret => self.tls.secret.as_deref(),
            TlsKind::SelfSigned | TlsKind::Files => Some("ingress-tls"),
        }
    }
}

/// Where the ingress' certificate comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IngressTls {
    /// The kind of source.
    pub kind: TlsKind,
    /// With `files`: the file with the certificate and its chain, seen from the environment file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("format" = "shop-path"))]
    pub certificate: Option<String>,
    /// With `files`: the file with its private key, seen from the environment file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), extend("format" = "shop-path"))]
    pub key: Option<String>,
    /// With `secret`: the name of a Secret of type kubernetes.io/tls in the shop's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("format" = "shop-host-name"))]
    pub secret: Option<String>,
}

/// What kind of source a certificate has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TlsKind {
    /// Plain HTTP.
    Off,
    /// Made by shopctl, once.
    #[default]
    SelfSigned,
    /// Two files.
    Files,
    /// A Secret that is there already.
    Secret,
}
