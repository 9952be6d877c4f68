//! What shopctl writes on a host before it changes anything there: whose the k3s is, and how the host was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::Role;

/// What stands in `/etc/rancher/k3s/shopctl.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// The environment that this k3s belongs to.
    pub environment: String,
    /// The host's name there.
    pub host: String,
    /// What it is.
    pub role: Role,
    /// How the host was before.
    pub before: Before,
}

/// What a host had before k3s came, as far as k3s changes it without taking it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Before {
    /// Settings of the kernel, by name.
    pub sysctls: BTreeMap<String, String>,
    /// Folders that were there: others go with k3s.
    pub folders: Vec<String>,
    /// File systems that were mounted in folders of k3s: their disks are somebody's, and stay where they are.
    pub mounts: Vec<String>,
    /// Tables of the packet filter that were there, by the program that lists them.
    pub tables: BTreeMap<String, Vec<String>>,
}

/// Prints a [`Before`] as JSON. Names and values of these are words of digits, letters, dots, slashes and blanks.
pub(super) const LOOK_BEFORE: &str = r#"
list() { sep=; printf '['; while IFS= read -r item; do [ -z "$item" ] || { printf '%s"%s"' "$sep" "$item"; sep=,; }; done; printf ']'; }
printf '{"sysctls":{'
sep=
for name in net.ipv4.ip_forward net.ipv4.conf.all.forwarding net.ipv4.conf.default.forwarding \
  net.ipv6.conf.all.forwarding net.ipv6.conf.default.forwarding \
  net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables net.ipv4.conf.all.route_localnet \
  net.netfilter.nf_conntrack_max net.netfilter.nf_conntrack_tcp_timeout_established \
  net.netfilter.nf_conntrack_tcp_timeout_close_wait \
  vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops; do
  file=/proc/sys/$(printf %s "$name" | tr . /)
  [ ! -r "$file" ] || { printf '%s"%s":"%s"' "$sep" "$name" "$(cat "$file")"; sep=,; }
done
printf '},"folders":'
for folder in /etc/rancher /etc/rancher/k3s /etc/rancher/node /var/lib/rancher /var/lib/rancher/k3s /var/lib/kubelet \
  /var/lib/cni /etc/cni /etc/cni/net.d /opt/cni /opt/cni/bin /var/log/pods /var/log/containers /run/flannel /run/containerd /run/nri /run/netns /usr/local/bin \
  /usr/libexec/kubernetes; do
  [ ! -d "$folder" ] || printf '%s\n' "$folder"
done | list
printf ',"mounts":'
awk '{print $2}' /proc/self/mounts | grep -E '^/var/lib/(rancher|kubelet)(/|$)' | grep -v '[\\" ]' | list
printf ',"tables":{'
sep=
for program in iptables ip6tables; do
  printf '%s"%s":' "$sep" "$program"; sep=,
  $program-save 2>/dev/null | sed -n 's/^\*\([a-z]*\)$/\1/p' | list
done
printf '}}'
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_host_was_is_understood() {
        let output = std::process::Command::new("sh")
            .args(["-c", LOOK_BEFORE])
            .output()
            .unwrap();
        let before: Before = serde_json::from_slice(&output.stdout).unwrap();
        assert!(before.sysctls.contains_key("vm.overcommit_memory"));
        assert!(before.folders.contains(&"/usr/local/bin".to_owned()));
        assert!(before.tables.contains_key("iptables"));
    }
}
