//! Pods: which belong to what, what they write, and what the cluster notes about objects.

use futures_util::AsyncBufReadExt as _;
use futures_util::stream::{Stream, StreamExt as _};
use kube::api::{ListParams, LogParams};
use kube::core::Request;
use serde_json::Value;

use super::connect::Cluster;
use super::error::ClusterError;
use super::object::{label, text};

/// Lines that are read of a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogReading {
    /// How many of the newest lines; all if none.
    pub tail: Option<u32>,
    /// Only what is at most so many seconds old.
    pub since_seconds: Option<u32>,
    /// The container's run before this one.
    pub previous: bool,
}

/// The pods of a namespace.
pub async fn pods(cluster: &Cluster, namespace: &str) -> Result<Vec<Value>, ClusterError> {
    cluster.list_named("", "Pod", namespace, "").await
}

/// Whether a pod belongs to a workload: it carries the labels that the workload selects.
pub fn is_of(pod: &Value, workload: &Value) -> bool {
    let selector = workload.pointer("/spec/selector/matchLabels");
    selector.and_then(Value::as_object).is_some_and(|labels| {
        !labels.is_empty()
            && labels
                .iter()
                .all(|(name, value)| label(pod, name) == value.as_str())
    })
}

/// What a container wrote.
pub async fn read_log(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    container: Option<&str>,
    reading: LogReading,
) -> Result<String, ClusterError> {
    let request = of_namespace(namespace).logs(pod, &parameters(container, reading, false));
    cluster
        .text(&format!("read the log of {pod}"), request)
        .await
}

/// What a container writes, line by line, until it ends.
pub async fn follow_log(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    container: Option<&str>,
    reading: LogReading,
) -> Result<impl Stream<Item = std::io::Result<String>> + use<>, ClusterError> {
    let doing = || format!("follow the log of {pod}");
    let request = of_namespace(namespace)
        .logs(pod, &parameters(container, reading, true))
        .map_err(|error| ClusterError::Malformed {
            reason: format!("{}: {error}", doing()),
        })?;
    let reader = cluster
        .client()
        .request_stream(request)
        .await
        .map_err(|error| cluster.failed(doing(), error, false))?;
    Ok(reader.lines().boxed())
}

/// What the cluster noted about objects of a namespace, the newest last: when, what about and what.
pub async fn notes(
    cluster: &Cluster,
    namespace: &str,
    about: &[&str],
) -> Result<Vec<String>, ClusterError> {
    let parameters = ListParams::default().limit(500);
    let request = Request::new(format!("/api/v1/namespaces/{namespace}/events")).list(&parameters);
    let answer: Value = cluster
        .client()
        .request(request.map_err(|error| ClusterError::Malformed {
            reason: error.to_string(),
        })?)
        .await
        .map_err(|error| cluster.failed("read what the cluster noted".to_owned(), error, false))?;
    Ok(newest_notes(super::object::list(&answer, "/items"), about))
}

/// Of events those about some objects, told in a line each, the newest last; warnings before what is ordinary.
fn newest_notes(events: &[Value], about: &[&str]) -> Vec<String> {
    const AT_MOST: usize = 5;
    let mut found: Vec<(bool, &str, String)> = events
        .iter()
        .filter(|event| {
            text(event, "/involvedObject/name").is_some_and(|name| about.contains(&name))
        })
        .map(|event| {
            let at = ["/lastTimestamp", "/eventTime", "/firstTimestamp"]
                .iter()
                .find_map(|field| text(event, field))
                .unwrap_or_default();
            let told = format!(
                "{}: {}: {}",
                text(event, "/involvedObject/name").unwrap_or_default(),
                text(event, "/reason").unwrap_or_default(),
                text(event, "/message").unwrap_or_default().trim(),
            );
            (text(event, "/type") == Some("Warning"), at, told)
        })
        .collect();
    found.sort_by(|left, right| (left.0, left.1).cmp(&(right.0, right.1)));
    let surplus = found.len().saturating_sub(AT_MOST);
    found.drain(..surplus);
    found.sort_by(|left, right| left.1.cmp(right.1));
    found.into_iter().map(|(_, _, told)| told).collect()
}

fn of_namespace(namespace: &str) -> Request {
    Request::new(format!("/api/v1/namespaces/{namespace}/pods"))
}

fn parameters(container: Option<&str>, reading: LogReading, follow: bool) -> LogParams {
    LogParams {
        container: container.map(str::to_owned),
        follow,
        previous: reading.previous,
        tail_lines: reading.tail.map(i64::from),
        since_seconds: reading.since_seconds.map(i64::from),
        ..LogParams::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_belongs_to_the_workload_whose_labels_it_carries() {
        let workload = json!({"spec": {"selector": {"matchLabels": {"app": "order"}}}});
        let pod = |labels: Value| json!({"metadata": {"labels": labels}});
        assert!(is_of(&pod(json!({"app": "order", "more": "1"})), &workload));
        assert!(!is_of(&pod(json!({"app": "auth"})), &workload));
        assert!(!is_of(&pod(json!({})), &json!({"spec": {}})));
    }

    #[test]
    fn warnings_are_told_before_what_is_ordinary() {
        let event = |kind: &str, at: u32, message: String| {
            json!({"type": kind, "lastTimestamp": format!("{at:03}"),
            "reason": "R", "message": message, "involvedObject": {"name": "order-1"}})
        };
        let mut events: Vec<Value> = (10..20)
            .map(|at| event("Normal", at, format!("n{at}")))
            .collect();
        events.push(event("Warning", 1, "no image".to_owned()));
        events.push(json!({"type": "Warning", "involvedObject": {"name": "other"}}));
        let told = newest_notes(&events, &["order-1"]);
        assert_eq!(told.len(), 5);
        assert_eq!(told[0], "order-1: R: no image");
        assert_eq!(told[4], "order-1: R: n19");
    }
}
