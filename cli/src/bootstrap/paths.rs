//! Where things are on a host.

/// The program.
pub(super) const BINARY: &str = "/usr/local/bin/k3s";
/// Everything that k3s is told.
pub(super) const CONFIG: &str = "/etc/rancher/k3s/config.yaml";
/// Where images come from.
pub(super) const REGISTRIES: &str = "/etc/rancher/k3s/registries.yaml";
/// The certificate that a registry's own is signed by.
pub(super) const REGISTRY_CA: &str = "/etc/rancher/k3s/registry-ca.crt";
/// What says that this k3s is ours, and how the host was before.
pub(super) const MARKER: &str = "/etc/rancher/k3s/shopctl.json";
/// The token that agents of this server join with.
pub(super) const AGENT_TOKEN: &str = "/etc/rancher/k3s/agent-token";
/// The token that this host joins with.
pub(super) const JOIN_TOKEN: &str = "/etc/rancher/k3s/join-token";
/// The kubeconfig that a server writes.
pub(super) const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";
/// What containerd is told beyond what k3s tells it.
pub(super) const DROP_IN: &str =
    "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/shopctl.toml";
/// How k3s makes containerd's configuration, where it does not import the file above by itself.
pub(super) const TEMPLATE: &str = "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl";
/// What the kubelet is told beyond what k3s tells it.
pub(super) const KUBELET: &str = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/50-shopctl.conf";
/// The archives that are imported when k3s starts, and while it runs.
pub(super) const IMAGES: &str = "/var/lib/rancher/k3s/agent/images";
/// The unit of a server.
pub(super) const SERVER_UNIT: &str = "/etc/systemd/system/k3s.service";
/// The unit of an agent.
pub(super) const AGENT_UNIT: &str = "/etc/systemd/system/k3s-agent.service";

/// The files whose digests are facts.
pub(super) const WATCHED: [&str; 13] = [
    BINARY,
    CONFIG,
    REGISTRIES,
    REGISTRY_CA,
    MARKER,
    AGENT_TOKEN,
    JOIN_TOKEN,
    DROP_IN,
    TEMPLATE,
    KUBELET,
    SERVER_UNIT,
    AGENT_UNIT,
    KUBECONFIG,
];
