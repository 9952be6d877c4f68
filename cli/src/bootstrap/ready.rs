//! Waits, each with a deadline, what it waits for, and what it saw last.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::BootstrapError;
use super::facts::{SeenNode, nodes_of};
use super::model::Role;
use crate::event::Observer;
use crate::host::{Command, Host, HostError};

const API: &str = include_str!("api.sh");
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How long a unit may take to be active, and its node to be ready.
const NODE_DEADLINE: Duration = Duration::from_mins(3);
/// How long the cluster's own pods may take.
const CLUSTER_DEADLINE: Duration = Duration::from_mins(3);
/// A k3s that ends so often will not stay.
const MOST_RESTARTS: u32 = 4;

/// What a look found.
pub(super) enum Look {
    /// What was waited for is there.
    There,
    /// It is not yet, and this is how far it is.
    Not(String),
}

/// Somebody who waits, on a host.
pub(super) struct Waiting<'a> {
    pub(super) host: &'a dyn Host,
    pub(super) step: &'a str,
    pub(super) observer: &'a dyn Observer,
    /// The unit whose journal tells more.
    pub(super) unit: &'static str,
}

impl Waiting<'_> {
    /// Waits until the unit is active and the node is ready, as `server` sees it.
    pub(super) async fn node(
        &self,
        server: &dyn Host,
        node: &str,
        role: Role,
    ) -> Result<(), BootstrapError> {
        let what = match role {
            Role::Server => format!("the server {node} to be ready"),
            Role::Agent => format!("the agent {node} to be ready"),
        };
        let restarts = self.unit_state().await?.restarts;
        self.until(&what, NODE_DEADLINE, async || {
            let unit = self.unit_state().await?;
            let ended = unit.restarts.saturating_sub(restarts);
            if ended >= MOST_RESTARTS || unit.active == "failed" {
                return Err(BootstrapError::KeepsEnding {
                    host: self.host.name().to_owned(),
                    times: ended.max(1),
                    last: self.last_complaint().await,
                    log: self.journal().await,
                });
            }
            if unit.active != "active" {
                let mut seen = format!("the unit {} is {}", self.unit, unit.active);
                if ended > 0 {
                    let last = self.last_complaint().await;
                    seen = format!("{seen}, it ended {ended} times: {last}");
                }
                return Ok(Look::Not(seen));
            }
            node_look(server, node).await.map_err(Into::into)
        })
        .await
    }

    /// Waits until pods can run: the default account is there, and CoreDNS resolves names.
    pub(super) async fn cluster(&self, with_dns: bool) -> Result<(), BootstrapError> {
        let what = "the default account".to_owned();
        self.until(&what, CLUSTER_DEADLINE, async || {
            let path = "/api/v1/namespaces/default/serviceaccounts/default";
            Ok(match ask(self.host, path).await? {
                Ok(found) if found["kind"] == "ServiceAccount" => Look::There,
                Ok(other) => Look::Not(complaint(&other)),
                Err(words) => Look::Not(words),
            })
        })
        .await?;
        if !with_dns {
            return Ok(());
        }
        self.until("CoreDNS", CLUSTER_DEADLINE, async || {
            Ok(dns_look(self.host).await?)
        })
        .await
    }

    /// Looks again and again.
    pub(super) async fn until(
        &self,
        what: &str,
        deadline: Duration,
        look: impl AsyncFn() -> Result<Look, BootstrapError>,
    ) -> Result<(), BootstrapError> {
        let begin = Instant::now();
        let mut told = String::new();
        loop {
            let last = match look().await {
                Ok(Look::There) => return Ok(()),
                Ok(Look::Not(last)) => last,
                // The host may be busy enough to drop a connection; the deadline says when that is too much.
                Err(BootstrapError::Host(
                    error @ (HostError::Lost { .. }
                    | HostError::TimedOut { .. }
                    | HostError::Unreachable { .. }),
                )) => error.to_string(),
                Err(error) => return Err(error),
            };
            if begin.elapsed() > deadline {
                return Err(BootstrapError::NotReady {
                    host: self.host.name().to_owned(),
                    what: what.to_owned(),
                    seconds: deadline.as_secs(),
                    last,
                    log: self.journal().await,
                });
            }
            if last != told {
                self.observer.waiting(self.step, format!("{what} ({last})"));
                told = last;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn unit_state(&self) -> Result<UnitState, HostError> {
        let properties = "ActiveState,NRestarts";
        let argv = ["systemctl", "show", "-p", properties, self.unit];
        let output = self
            .host
            .run_well(Command::new("look at k3s", argv).as_root())
            .await?;
        let text = output.text();
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .unwrap_or_default()
                .to_owned()
        };
        Ok(UnitState {
            active: value("ActiveState"),
            restarts: value("NRestarts").parse().unwrap_or_default(),
        })
    }

    /// The last line of k3s' journal that complains, without its time.
    async fn last_complaint(&self) -> String {
        let log = self.journal().await;
        let complains = |line: &&str| {
            ["level=fatal", "level=error", "rror:"]
                .iter()
                .any(|sign| line.contains(sign))
        };
        let line = log
            .lines()
            .rev()
            .find(complains)
            .or_else(|| log.lines().next_back());
        line.map_or_else(|| "its journal is empty".to_owned(), message_of)
    }

    /// The end of what k3s wrote; empty if it cannot be had.
    async fn journal(&self) -> String {
        let argv = [
            "journalctl",
            "-u",
            self.unit,
            "-n",
            "15",
            "--no-pager",
            "-o",
            "cat",
        ];
        let command = Command::new("read k3s' journal", argv).as_root();
        match self.host.run(command).await {
            Ok(output) => output.text().trim_end().to_owned(),
            Err(_) => String::new(),
        }
    }
}

struct UnitState {
    active: String,
    restarts: u32,
}

/// The message in a line of k3s' log.
fn message_of(line: &str) -> String {
    let message = line
        .split_once("msg=\"")
        .map(|(_, rest)| rest.trim_end_matches('"'));
    message.unwrap_or(line).replace("\\\"", "\"")
}

/// Asks the API server on its own machine. The inner error is what was said instead of JSON.
pub(super) async fn ask(host: &dyn Host, path: &str) -> Result<Result<Json, String>, HostError> {
    let command = Command::script("ask the API server", &format!("{API}\napi \"$1\""), [path])
        .deadline(Duration::from_secs(15))
        .as_root();
    let output = host.run(command).await?;
    let text = output.text();
    Ok(serde_json::from_str(&text).map_err(|_| {
        let words = text.lines().last().unwrap_or_default().trim();
        if words.is_empty() {
            "the API server does not answer".to_owned()
        } else {
            words.to_owned()
        }
    }))
}

async fn node_look(server: &dyn Host, name: &str) -> Result<Look, HostError> {
    let list = match ask(server, "/api/v1/nodes").await? {
        Ok(list) => list,
        Err(words) => return Ok(Look::Not(words)),
    };
    let Some(nodes) = nodes_of(&list) else {
        return Ok(Look::Not(complaint(&list)));
    };
    Ok(match nodes.iter().find(|node| node.name == name) {
        Some(SeenNode { ready: true, .. }) => Look::There,
        Some(node) => Look::Not(format!("the node is not ready: {}", node.reason)),
        None => Look::Not("it has not joined".to_owned()),
    })
}

/// Whether CoreDNS serves; if not, how far its pods are.
async fn dns_look(host: &dyn Host) -> Result<Look, HostError> {
    let path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
    let deployment = match ask(host, path).await? {
        Ok(found) => found,
        Err(words) => return Ok(Look::Not(words)),
    };
    if deployment["status"]["availableReplicas"].as_u64() > Some(0) {
        return Ok(Look::There);
    }
    if deployment["kind"] != "Deployment" {
        return Ok(Look::Not(complaint(&deployment)));
    }
    let path = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns";
    Ok(Look::Not(match ask(host, path).await? {
        Ok(pods) => pod_state(&pods["items"][0]),
        Err(words) => words,
    }))
}

/// How far a pod is, from its most telling part.
fn pod_state(pod: &Json) -> String {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let status = &pod["status"];
    let waiting = &status["containerStatuses"][0]["state"]["waiting"];
    let mut parts = vec![text(&waiting["reason"]), text(&waiting["message"])];
    if parts.iter().all(String::is_empty) {
        let conditions = status["conditions"].as_array();
        let unmet = conditions
            .and_then(|all| all.iter().find(|condition| condition["status"] == "False"))
            .unwrap_or(&Json::Null);
        parts = vec![text(&status["phase"]), text(&unmet["message"])];
    }
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        "there is no pod of it".to_owned()
    } else {
        format!("its pod: {}", parts.join(": "))
    }
}

/// What the API server says instead of what was asked.
fn complaint(answer: &Json) -> String {
    answer["message"]
        .as_str()
        .unwrap_or("the API server gave something else")
        .to_owned()
}

/// Whether pods can run right now.
pub(super) async fn is_settled(server: &dyn Host, with_dns: bool) -> Result<bool, HostError> {
    if !with_dns {
        return Ok(true);
    }
    Ok(matches!(dns_look(server).await?, Look::There))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::event::{Event, Unobserved};
    use crate::host::fake::{FakeHost, said};

    struct Told(Mutex<Vec<String>>);

    impl Observer for Told {
        fn observe(&self, event: Event) {
            if let Event::StepProgress { waiting_for, .. } = event {
                self.0.lock().unwrap().push(waiting_for);
            }
        }
    }

    #[tokio::test]
    async fn a_k3s_that_ends_again_and_again_is_not_waited_for() {
        let turns = Mutex::new(0);
        let host = FakeHost::new("agent-1")
            .answers("look at k3s", move |_| {
                let mut turns = turns.lock().unwrap();
                *turns += 1;
                Ok(said(0, &format!("ActiveState=activating\nNRestarts={turns}\n"), ""))
            })
            .says(
                "journal",
                "time=\"x\" level=info msg=\"Starting\"\ntime=\"x\" level=fatal msg=\"Error: token CA hash does not match\"\n",
            );
        let told = Told(Mutex::new(Vec::new()));
        let waiting = Waiting {
            host: &host,
            step: "join agent-1",
            observer: &told,
            unit: "k3s-agent",
        };
        let error = waiting
            .node(&host, "agent-1", Role::Agent)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to start k3s on agent-1: it ended 4 times; last seen: Error: token CA hash does not match"
        );
        assert!(error.hints()[0].contains("level=fatal"));
        assert!(told.0.lock().unwrap()[0].contains("k3s-agent is activating"));
    }

    #[tokio::test]
    async fn a_deadline_says_what_was_waited_for_and_what_was_seen_last() {
        let pods = json!({"items": [{"status": {"containerStatuses": [{"state": {"waiting": {
            "reason": "ErrImagePull", "message": "no such host"}}}]}}]});
        let host = FakeHost::new("server-1")
            .answers("ask the API", move |command| {
                let path = command.argv().last().unwrap();
                let answer = if path.contains("pods") {
                    pods.clone()
                } else {
                    json!({"kind": "Deployment", "status": {}})
                };
                Ok(said(0, &answer.to_string(), ""))
            })
            .says("journal", "the end\n");
        let waiting = Waiting {
            host: &host,
            step: "wait for the cluster",
            observer: &Unobserved,
            unit: "k3s",
        };
        let error = waiting
            .until("CoreDNS", Duration::from_millis(500), async || {
                Ok(dns_look(&host).await?)
            })
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to wait for CoreDNS on server-1: not within 0 s; last seen: its pod: ErrImagePull: no such host"
        );
        assert!(error.hints()[0].ends_with("the end"));
        let state = pod_state(&json!({"status": {"phase": "Pending", "conditions": [
            {"status": "False", "message": "0/1 nodes are available"}]}}));
        assert_eq!(state, "its pod: Pending: 0/1 nodes are available");
    }
}
