//! Whether hosts reach each other on the ports that nodes need, really tried: a short listener on one, and something
//! sent from the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::facts::HostFacts;
use super::model::{Role, WantedCluster, WantedHost};
use crate::host::{Command, Host, HostError};

/// What was tried between two hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who sent.
    pub from: String,
    /// Who listened.
    pub to: String,
    /// Where it was looked for.
    pub address: String,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The port.
    pub port: u16,
    /// What came of it.
    pub state: LinkState,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It arrived.
    Open,
    /// It did not arrive.
    Blocked(String),
    /// It could not be tried.
    Unknown(String),
}

/// Listens on each argument after the first two, as `tcp:6443` or `udp:8472`, until it is told to stop, and prints
/// whose datagrams came on udp. systemd brings the listener, so every host has it.
const LISTEN: &str = r#"
dir=/run/shopctl-links.$1; nonce=$1; patience=$2; shift 2
command -v systemd-socket-activate >/dev/null 2>&1 || { echo unable; exit; }
# A run that was killed may have left listeners, which would answer for these.
for old in /run/shopctl-links.*; do [ ! -d "$old" ] || : > "$old/stop"; done
turns=0
while [ -n "$(ls -d /run/shopctl-links.* 2>/dev/null)" ] && [ "$turns" -lt 20 ]; do sleep 0.1; turns=$((turns + 1)); done
rm -rf /run/shopctl-links.*
mkdir -p "$dir"
# By this they are known as ours.
export SHOPCTL_LINKS=1
pids=
for port; do
  number=${port#*:}
  case $port in
    tcp:*) systemd-socket-activate --accept --inetd -l "$number" echo "$nonce" >/dev/null 2>"$dir/$port.log" & ;;
    udp:*) systemd-socket-activate --datagram --inetd -l "$number" dd "of=$dir/$port" bs=4096 >/dev/null 2>"$dir/$port.log" & ;;
  esac
  pids="$pids $!"
done
turns=0
while [ ! -e "$dir/stop" ] && [ "$turns" -lt "$patience" ]; do sleep 0.1; turns=$((turns + 1)); done
kill $pids 2>/dev/null
for port; do
  [ -s "$dir/$port" ] && sed -n "s/^$nonce //p" "$dir/$port" | sort -u | sed "s/^/arrived $port /"
done
rm -rf "$dir"
:"#;

/// Sends to each argument after the first three, of which the third is who sends: `tcp:6443` answers with the nonce,
/// `open:6443` only has to accept.
const SEND: &str = r#"
nonce=$1; address=$2; me=$3; shift 3
command -v bash >/dev/null 2>&1 || { echo unable; exit; }
export nonce address me
try() { timeout 2 bash -c "$1" 2>&1; }
for port; do
  number=${port#*:}; export number
  turns=0 said= end=$(($(date +%s) + 4))
  while [ "$(date +%s)" -lt "$end" ]; do
    case $port in
      tcp:*) said=$(try 'exec 3<>"/dev/tcp/$address/$number" && IFS= read -r line <&3 && printf %s "$line"') ;;
      open:*) said=$(try 'exec 3<>"/dev/tcp/$address/$number" && printf %s "$nonce"') ;;
      udp:*) said=$(try 'printf "%s %s\n" "$nonce" "$me" > "/dev/udp/$address/$number"'); [ "$turns" -ge 4 ] && break ;;
    esac
    [ "$said" = "$nonce" ] && break
    turns=$((turns + 1)); sleep 0.2
  done
  case $port in udp:*) ;; *) [ "$said" = "$nonce" ] && echo "open $port" || echo "blocked $port $(printf %s "$said" | tr '\n' ' ' | sed 's/.*: //')" ;; esac
done
:"#;

/// How long a listener waits to be told to stop, in tenths of a second.
const PATIENCE: &str = "200";

/// Tries every way between hosts that nodes need. A k3s of ours that runs is asked itself.
pub async fn try_links(
    cluster: &WantedCluster,
    hosts: &BTreeMap<String, Arc<dyn Host>>,
    facts: &BTreeMap<String, HostFacts>,
) -> Vec<Link> {
    let tried = cluster.hosts.iter().map(|to| async move {
        let running = facts
            .get(&to.name)
            .is_some_and(|facts| facts.units.values().any(super::facts::SeenUnit::is_running));
        let listener = hosts.get(&to.name)?;
        let senders: Vec<&WantedHost> = cluster
            .hosts
            .iter()
            .filter(|from| from.name != to.name && hosts.contains_key(&from.name))
            .collect();
        if senders.is_empty() {
            return None;
        }
        let address = to.address?.to_string();
        let ports = ports_of(to, facts.get(&to.name).filter(|_| !running));
        Some(one_listener(to, &address, (running, ports), &**listener, &senders, hosts).await)
    });
    join_all(tried)
        .await
        .into_iter()
        .flatten()
        .flatten()
        .collect()
}

/// The ports of a host that others need, as the scripts take them. One that somebody has already cannot be tried.
fn ports_of(host: &WantedHost, facts: Option<&HostFacts>) -> Vec<(&'static str, u16)> {
    let mut ports = vec![("tcp", 10250), ("udp", 8472)];
    if host.role == Role::Server {
        ports.insert(0, ("tcp", 6443));
    }
    let listeners = facts.and_then(|facts| facts.listeners.as_deref());
    ports.retain(|(protocol, port)| {
        !listeners
            .into_iter()
            .flatten()
            .any(|listener| listener.protocol == *protocol && listener.port == *port)
    });
    ports
}

async fn one_listener(
    to: &WantedHost,
    address: &str,
    (running, ports): (bool, Vec<(&'static str, u16)>),
    listener: &dyn Host,
    senders: &[&WantedHost],
    hosts: &BTreeMap<String, Arc<dyn Host>>,
) -> Vec<Link> {
    let nonce = format!("shopctl{}", uuid::Uuid::new_v4().simple());
    let words: Vec<String> = ports
        .iter()
        .filter(|(protocol, _)| !running || *protocol == "tcp")
        .map(|(protocol, port)| {
            let kind = if running { "open" } else { protocol };
            format!("{kind}:{port}")
        })
        .collect();
    let listening = async {
        if running {
            return Ok(String::new());
        }
        let arguments = [nonce.clone(), PATIENCE.to_owned()];
        let command = Command::script(
            "listen on the ports of nodes",
            LISTEN,
            arguments.into_iter().chain(words.clone()),
        );
        let command = command.deadline(Duration::from_secs(40)).as_root();
        listener.run_well(command).await.map(|output| output.text())
    };
    let sending = async {
        let sent = join_all(senders.iter().map(|from| async {
            let host = hosts.get(&from.name)?;
            let arguments = [nonce.clone(), address.to_owned(), from.name.clone()];
            let about = format!("reach {}", to.name);
            let command = Command::script(about, SEND, arguments.into_iter().chain(words.clone()))
                .deadline(Duration::from_mins(1));
            Some(host.run_well(command).await.map(|output| output.text()))
        }))
        .await;
        if !running {
            let stop = format!("/run/shopctl-links.{nonce}/stop");
            let command = Command::new("stop listening", ["touch", &stop]).as_root();
            // It stops by itself as well.
            let _ = listener.run(command).await;
        }
        sent
    };
    let (heard, sent) = join(listening, sending).await;
    let mut links = Vec::new();
    for (from, sent) in senders.iter().zip(sent) {
        let Some(sent) = sent else { continue };
        for (protocol, port) in &ports {
            if running && *protocol == "udp" {
                continue;
            }
            links.push(Link {
                from: from.name.clone(),
                to: to.name.clone(),
                address: address.to_owned(),
                protocol,
                port: *port,
                state: judge(protocol, *port, &from.name, &heard, &sent),
            });
        }
    }
    links
}

/// What came of one try.
fn judge(
    protocol: &str,
    port: u16,
    from: &str,
    heard: &Result<String, HostError>,
    sent: &Result<String, HostError>,
) -> LinkState {
    let (heard, sent) = match (heard, sent) {
        (Ok(heard), Ok(sent)) => (heard, sent),
        (Err(error), _) | (_, Err(error)) => return LinkState::Unknown(error.to_string()),
    };
    if heard.trim() == "unable" || sent.trim() == "unable" {
        return LinkState::Unknown("a program to try it with is missing".to_owned());
    }
    if protocol == "udp" {
        let arrived = heard
            .lines()
            .any(|line| line == format!("arrived udp:{port} {from}"));
        return if arrived {
            LinkState::Open
        } else {
            LinkState::Blocked("nothing arrived".to_owned())
        };
    }
    for kind in ["tcp", "open"] {
        if sent
            .lines()
            .any(|line| line == format!("open {kind}:{port}"))
        {
            return LinkState::Open;
        }
        let blocked = format!("blocked {kind}:{port}");
        if let Some(reason) = sent.lines().find_map(|line| line.strip_prefix(&blocked)) {
            let reason = reason.trim();
            let reason = if reason.is_empty() {
                "no answer"
            } else {
                reason
            };
            return LinkState::Blocked(reason.to_owned());
        }
    }
    LinkState::Unknown("it was not tried".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::facts::Listener;

    type Said = Result<String, HostError>;

    #[test]
    fn a_port_that_somebody_has_is_not_tried() {
        let server = WantedHost {
            role: Role::Server,
            ..WantedHost::default()
        };
        let facts = HostFacts {
            listeners: Some(vec![Listener {
                protocol: "tcp".to_owned(),
                address: "*".to_owned(),
                port: 6443,
                process: String::new(),
            }]),
            ..HostFacts::default()
        };
        assert_eq!(ports_of(&server, None).len(), 3);
        let left = ports_of(&server, Some(&facts));
        assert_eq!(left, [("tcp", 10250), ("udp", 8472)]);
    }

    #[test]
    fn what_did_not_arrive_is_told_from_what_was_not_tried() {
        let sent = Said::Ok("open tcp:6443\nblocked tcp:10250 Connection refused\n".to_owned());
        let heard = Said::Ok("arrived udp:8472 a\n".to_owned());
        assert_eq!(judge("tcp", 6443, "a", &heard, &sent), LinkState::Open);
        assert_eq!(
            judge("tcp", 10250, "a", &heard, &sent),
            LinkState::Blocked("Connection refused".to_owned())
        );
        assert_eq!(judge("udp", 8472, "a", &heard, &sent), LinkState::Open);
        assert!(matches!(
            judge("udp", 8472, "b", &heard, &sent),
            LinkState::Blocked(_)
        ));
        let unable = Said::Ok("unable\n".to_owned());
        for (heard, sent) in [(&unable, &sent), (&heard, &unable)] {
            assert!(matches!(
                judge("tcp", 6443, "a", heard, sent),
                LinkState::Unknown(_)
            ));
        }
    }
}
