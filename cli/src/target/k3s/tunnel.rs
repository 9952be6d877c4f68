//! Ports of pods on this machine's loopback, through the API server: how the books are read, and how the shop is entered
//! where its ingress cannot be reached.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::K3sError;
use crate::cluster::{Cluster, ObjectKey, number, pods, text};

/// How long a connection to a pod may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// The same for one that is asked again and again: those that ask of a host without power must not add up.
const POD_CONNECT: Duration = Duration::from_secs(2);

/// A port on loopback that leads to a pod. It closes when this is dropped.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Tunnel {
    /// Opens one to whichever pod a Service leads to, by the Service's name and its port's.
    pub async fn to_service(
        cluster: &Cluster,
        namespace: &str,
        service: &str,
        port: &str,
    ) -> Result<Self, K3sError> {
        let way = Way {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port: port.to_owned(),
        };
        // That there is somebody at the other end is found out now, and not by who uses it.
        way.end().await?;
        Self::listening(service, move |stream| way.clone().carry(stream)).await
    }

    /// Opens one to whichever pod has a name when somebody connects.
    pub async fn to_pod(
        cluster: &Cluster,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> Result<Self, K3sError> {
        let api: Api<Pod> = Api::namespaced(cluster.client(), namespace);
        let name = pod.to_owned();
        Self::listening(pod, move |stream| {
            let (api, name) = (api.clone(), name.clone());
            async move { join(&api, &name, port, POD_CONNECT, stream).await }
        })
        .await
    }

    /// Carries every connection to where `carry` does.
    async fn listening<F>(
        to: &str,
        carry: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Result<Self, K3sError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let failed = |error: std::io::Error| K3sError::Tunnel {
            service: to.to_owned(),
            reason: error.to_string(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream));
            }
        });
        Ok(Self { address, task })
    }

    /// Its address on loopback.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Joins a connection to a port of a pod, until either ends.
async fn join(api: &Api<Pod>, pod: &str, port: u16, patience: Duration, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let ports = [port];
    let connecting = tokio::time::timeout(patience, api.portforward(pod, &ports));
    // Whoever connected sees that the connection ends; there is nobody else to tell.
    let Ok(Ok(mut forwarder)) = connecting.await else {
        return;
    };
    if let Some(mut upstream) = forwarder.take_stream(port) {
        let _ = copy_bidirectional(&mut stream, &mut upstream).await;
    }
    forwarder.abort();
}

#[derive(Clone, Debug)]
struct Way {
    cluster: Cluster,
    namespace: String,
    service: String,
    port: String,
}

impl Way {
    /// The pod that the Service leads to now, and its port there. Asked for each connection: pods come and go.
    async fn end(&self) -> Result<(String, u16), K3sError> {
        let lost = |reason: &str| K3sError::Tunnel {
            service: self.service.clone(),
            reason: reason.to_owned(),
        };
        let key = ObjectKey {
            group: String::new(),
            kind: "Service".to_owned(),
            namespace: Some(self.namespace.clone()),
            name: self.service.clone(),
        };
        let service = self
            .cluster
            .get(&key)
            .await?
            .ok_or_else(|| lost("there is no such Service"))?;
        let pods = pods(&self.cluster, &self.namespace).await?;
        end_of(&service, &pods, &self.port).ok_or_else(|| lost("no pod of it is ready"))
    }

    async fn carry(self, stream: TcpStream) {
        // Whoever connected sees that the connection ends; there is nobody else to tell.
        let Ok((pod, port)) = self.end().await else {
            return;
        };
        let api: Api<Pod> = Api::namespaced(self.cluster.client(), &self.namespace);
        join(&api, &pod, port, CONNECT, stream).await;
    }
}

/// The first ready pod that a Service selects, and the container's port behind one of the Service's.
fn end_of(service: &Value, pods: &[Value], port: &str) -> Option<(String, u16)> {
    let selector = service.pointer("/spec/selector")?.as_object()?;
    let entry = crate::cluster::list(service, "/spec/ports")
        .iter()
        .find(|entry| text(entry, "/name") == Some(port))
        .or_else(|| crate::cluster::list(service, "/spec/ports").first())?;
    let pod = pods.iter().find(|pod| {
        let selected = selector
            .iter()
            .all(|(name, value)| crate::cluster::label(pod, name) == value.as_str());
        selected && crate::cluster::readiness(pod) == crate::cluster::Readiness::Ready
    })?;
    let target = match entry.get("targetPort") {
        Some(Value::String(name)) => crate::cluster::list(pod, "/spec/containers")
            .iter()
            .flat_map(|container| crate::cluster::list(container, "/ports"))
            .find(|port| text(port, "/name") == Some(name))
            .and_then(|port| number(port, "/containerPort"))?,
        Some(Value::Number(port)) => port.as_i64()?,
        _ => number(entry, "/port")?,
    };
    Some((
        text(pod, "/metadata/name")?.to_owned(),
        u16::try_from(target).ok()?,
    ))
}

/// The way to the books: the database server's port, through its Service.
#[derive(Debug)]
pub struct Books(Tunnel);

impl Books {
    /// Opens it.
    pub async fn open(cluster: &Cluster) -> Result<Self, K3sError> {
        const SERVER: &str = "postgres";
        Ok(Self(
            Tunnel::to_service(cluster, super::NAMESPACE, SERVER, SERVER).await?,
        ))
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.address().port()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_leads_to_a_ready_pod_and_the_port_behind_its_own() {
        let service = json!({"spec": {"selector": {"app": "redis", "role": "master"}, "ports": [
            {"name": "redis", "port": 6379, "targetPort": "redis"}]}});
        let pod = |name: &str, role: &str, ready: &str| {
            json!({"kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "redis", "role": role}},
            "spec": {"containers": [{"ports": [{"name": "redis", "containerPort": 16379}]}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
        };
        let pods = [
            pod("redis-0", "replica", "True"),
            pod("redis-1", "master", "False"),
            pod("redis-2", "master", "True"),
        ];
        assert_eq!(
            end_of(&service, &pods, "redis"),
            Some(("redis-2".to_owned(), 16379))
        );
        assert_eq!(end_of(&service, &pods[..2], "redis"), None);
    }
}
