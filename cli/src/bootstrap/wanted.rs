//! From an environment to the hosts that are connected to and the cluster that is wanted on them. Pure, but for the
//! files of a registry, whose content is given.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::model::{
    Registries, Role, WantedArchive, WantedBinary, WantedCluster, WantedHost, WantedNodeLoss,
};
use super::paths;
use super::yaml::written;
use crate::environment::{self, Environment, HostRole, Registry, Sudo};
use crate::host::{Connection, HostSpec};

/// The hosts of an environment, as they are connected to. `folder` is that of the environment file, from which its
/// paths are seen.
pub fn host_specs(environment: &Environment, folder: &Path) -> Vec<HostSpec> {
    environment
        .hosts
        .iter()
        .map(|(name, host)| {
            let address = host.address.clone();
            let local = host.connection == environment::Connection::Local;
            HostSpec {
                name: name.to_string(),
                address: address.unwrap_or_else(|| "127.0.0.1".to_owned()),
                port: host.port,
                user: host.user.clone(),
                connection: if local {
                    Connection::Local
                } else {
                    Connection::Ssh
                },
                fingerprints: host.fingerprints.clone(),
                identity: host.identity.as_ref().map(|path| folder.join(path)),
                without_sudo: host.sudo == Sudo::Never,
                config_file: None,
            }
        })
        .collect()
}

/// Where the environment says that k3s is.
pub fn binary_file(environment: &Environment, folder: &Path) -> Option<PathBuf> {
    let file = environment.k3s.binary.as_ref();
    file.map(|path| folder.join(path))
}

/// The archives of images that the environment names.
pub fn archive_files(environment: &Environment, folder: &Path) -> Vec<PathBuf> {
    let images = environment.k3s.images.iter();
    images.map(|path| folder.join(path)).collect()
}

/// What an environment only names: files, as they were found.
#[derive(Default)]
pub struct Given<'a> {
    /// The program.
    pub binary: WantedBinary,
    /// The archives of images.
    pub archives: Vec<WantedArchive>,
    /// Images that hosts pull from the registry, each as `NAME@DIGEST`.
    pub pulled: Vec<String>,
    /// The password of the registry.
    pub registry_password: Option<&'a str>,
    /// The certificate that the registry's own is signed by.
    pub registry_ca: Option<String>,
}

/// The cluster that an environment wants. `client` tells where this machine reaches a host.
pub fn wanted_cluster(
    environment: &Environment,
    given: Given<'_>,
    client: impl Fn(&str) -> String,
) -> WantedCluster {
    let loss = &environment.k3s.node_loss;
    let seconds = |duration: crate::value::Duration| Duration::from_secs_f64(duration.seconds());
    let mut hosts: Vec<WantedHost> = environment
        .hosts
        .iter()
        .map(|(name, host)| WantedHost {
            name: name.to_string(),
            client: client(name.as_str()),
            address: host
                .node_address
                .as_ref()
                .and_then(|text| text.parse().ok()),
            role: match host.role {
                HostRole::Server => Role::Server,
                HostRole::Agent => Role::Agent,
            },
        })
        .collect();
    // The first server must stay the first one, whatever is added: it is the first by its name.
    hosts.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
    let entry = environment.ingress.entry_port();
    let load_balancer = environment.ingress.has_class() && !entry.on_nodes;
    WantedCluster {
        environment: environment.name.to_string(),
        binary: given.binary,
        archives: given.archives,
        pulled: given.pulled,
        config: environment.k3s.config.clone(),
        registries: environment
            .registry
            .as_ref()
            .map(|registry| registries(registry, given.registry_password)),
        registry_ca: given.registry_ca,
        node_loss: WantedNodeLoss {
            status_interval: seconds(loss.status_interval),
            grace: seconds(loss.grace),
            toleration_seconds: loss.toleration_seconds,
        },
        load_balancer,
        metrics: environment
            .enabled()
            .any(|(_, settings)| settings.autoscaling.is_some()),
        hosts,
        ingress_ports: if load_balancer {
            vec![80, 443]
        } else {
            // Nobody listens there, but whoever did would not be reached any more.
            vec![entry.port]
        },
    }
}

/// How containerd gets to a registry.
fn registries(registry: &Registry, password: Option<&str>) -> Registries {
    let host = registry.address.split('/').next().unwrap_or_default();
    let scheme = if registry.plain_http { "http" } else { "https" };
    let mut config = serde_json::Map::new();
    if let (Some(user), Some(password)) = (&registry.user, password) {
        let auth = json!({"username": user, "password": password});
        config.insert("auth".to_owned(), auth);
    }
    if registry.ca_file.is_some() {
        let tls = json!({"ca_file": paths::REGISTRY_CA});
        config.insert("tls".to_owned(), tls);
    }
    let endpoint = format!("{scheme}://{host}");
    Registries(written(&json!({
        "mirrors": {host: {"endpoint": [endpoint]}},
        "configs": {host: config},
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_password_is_in_its_file_and_in_no_debug_output() {
        let registry = Registry {
            address: "registry.example.com:5000/shop".to_owned(),
            user: Some("joe".to_owned()),
            password_file: Some("password".to_owned()),
            ca_file: Some("ca.crt".to_owned()),
            plain_http: false,
        };
        let registries = registries(&registry, Some("hunter2"));
        assert!(!format!("{registries:?}").contains("hunter2"));
        insta::assert_snapshot!("registries", registries.0);
    }
}
