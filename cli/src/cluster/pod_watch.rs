//! The pods of a namespace as they are now: listed once, then told of by the API server as they change.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde_json::Value;

use super::connect::Cluster;
use super::error::ClusterError;
use super::object::text;

/// How long the API server may leave a watch open; it is made anew then.
const WATCH_SECONDS: u32 = 290;
/// The pause before a watch that broke is made anew.
const PAUSE: Duration = Duration::from_millis(250);

/// Pods that are watched until this is dropped.
#[derive(Debug)]
pub struct PodWatch {
    known: Arc<RwLock<BTreeMap<String, Arc<Value>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl PodWatch {
    /// Lists the pods of a namespace, and goes on watching them.
    pub async fn start(cluster: &Cluster, namespace: &str) -> Result<Self, ClusterError> {
        let api: Api<Pod> = Api::namespaced(cluster.client(), namespace);
        let known = Arc::new(RwLock::default());
        let doing = || "list the pods".to_owned();
        let version = list(&api, &known)
            .await
            .map_err(|error| cluster.failed(doing(), error, false))?;
        let task = tokio::spawn(follow(api, Arc::clone(&known), version));
        Ok(Self { known, task })
    }

    /// The pods as they were told of last.
    pub fn pods(&self) -> Vec<Arc<Value>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(Arc::clone).collect()
    }

    /// The pod with a uid, if there is one.
    pub fn pod(&self, uid: &str) -> Option<Arc<Value>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(uid).map(Arc::clone)
    }
}

impl Drop for PodWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Known = RwLock<BTreeMap<String, Arc<Value>>>;

async fn list(api: &Api<Pod>, known: &Known) -> Result<String, kube::Error> {
    let listed = api.list(&ListParams::default()).await?;
    let version = listed.metadata.resource_version.unwrap_or_default();
    let all = listed.items.into_iter().filter_map(keyed).collect();
    *known.write().unwrap_or_else(PoisonError::into_inner) = all;
    Ok(version)
}

async fn follow(api: Api<Pod>, known: Arc<Known>, mut version: String) {
    let wanted = WatchParams::default().timeout(WATCH_SECONDS);
    loop {
        match api.watch(&wanted, &version).await {
            Ok(events) => {
                let mut events = events.boxed();
                while let Some(Ok(event)) = events.next().await {
                    if let WatchEvent::Error(_) = event {
                        break;
                    }
                    take_in(&known, event);
                }
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        // What happened in between is in the list.
        loop {
            match list(&api, &known).await {
                Ok(listed) => {
                    version = listed;
                    break;
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

fn take_in(known: &Known, event: WatchEvent<Pod>) {
    let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
    match event {
        WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
            if let Some((uid, pod)) = keyed(pod) {
                known.insert(uid, pod);
            }
        }
        WatchEvent::Deleted(pod) => {
            known.remove(&pod.metadata.uid.unwrap_or_default());
        }
        WatchEvent::Bookmark(_) | WatchEvent::Error(_) => {}
    }
}

/// A pod by its uid: one of the same name may follow it.
fn keyed(pod: Pod) -> Option<(String, Arc<Value>)> {
    let mut pod = serde_json::to_value(pod).ok()?;
    if let Some(fields) = pod.as_object_mut() {
        fields.insert("apiVersion".to_owned(), Value::from("v1"));
        fields.insert("kind".to_owned(), Value::from("Pod"));
    }
    let uid = text(&pod, "/metadata/uid")?.to_owned();
    Some((uid, Arc::new(pod)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_one_name_that_follow_each_other_are_two() {
        let known = Known::default();
        let pod = |uid: &str| -> Pod {
            serde_json::from_value(serde_json::json!({"metadata": {"name": "a", "uid": uid}}))
                .unwrap()
        };
        take_in(&known, WatchEvent::Added(pod("1")));
        take_in(&known, WatchEvent::Added(pod("2")));
        assert_eq!(known.read().unwrap().len(), 2);
        take_in(&known, WatchEvent::Deleted(pod("1")));
        let known = known.read().unwrap();
        assert_eq!(known.keys().collect::<Vec<_>>(), ["2"]);
    }
}
