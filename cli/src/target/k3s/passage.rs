//! The way to a cluster from here: a direct one, or through ssh to its first server, where only ssh gets through.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::{K3sError, Wanting, kubeconfig};
use crate::bootstrap::{Given, host_specs, wanted_cluster};
use crate::cluster::{Cluster, ClusterError, Passage};
use crate::environment::Environment;
use crate::host::{Connection, HostError, HostSpec, NoPassword, SshFolder, SshHost};

/// How long a port may take to take a connection before another way to it is tried.
const DIRECT: Duration = Duration::from_secs(2);
/// How long a cluster may take to answer before it counts as one that does not: then the hosts are looked after first.
const ANSWER: Duration = Duration::from_secs(6);
/// How often it is seen to that the connection of a passage stands.
const LOOK: Duration = Duration::from_secs(1);

/// A passage, and where the API server is at its other end.
type Through = (Arc<dyn Passage>, SocketAddr);

/// Ports of this machine that lead where a host gets.
struct ThroughSsh {
    host: SshHost,
    led: Mutex<Vec<Led>>,
}

/// A port of this machine.
struct Led {
    here: SocketAddr,
    there: SocketAddr,
    /// The connection that it was made in.
    connection: u64,
}

impl ThroughSsh {
    async fn open(spec: HostSpec, folder: &SshFolder) -> Result<Arc<Self>, HostError> {
        let passage = Arc::new(Self {
            host: SshHost::connect(spec, folder, &NoPassword).await?,
            led: Mutex::default(),
        });
        tokio::spawn(keep(Arc::downgrade(&passage)));
        Ok(passage)
    }

    async fn lead(&self, target: SocketAddr) -> Result<SocketAddr, HostError> {
        let mut led = self.led.lock().await;
        self.renew(&mut led).await?;
        if let Some(led) = led.iter().find(|led| led.there == target) {
            return Ok(led.here);
        }
        let connection = self.host.connection().await?;
        let here = self.host.forward(None, target).await?;
        led.push(Led {
            here,
            there: target,
            connection,
        });
        Ok(here)
    }

    /// Makes the ports anew, the same ones, whose connection was lost: whoever uses them knows no others.
    async fn renew(&self, led: &mut [Led]) -> Result<(), HostError> {
        let connection = self.host.connection().await?;
        for led in led.iter_mut().filter(|led| led.connection != connection) {
            self.host.forward(Some(led.here), led.there).await?;
            led.connection = connection;
        }
        Ok(())
    }
}

/// Sees to the ports as long as somebody has the passage.
async fn keep(passage: Weak<ThroughSsh>) {
    loop {
        sleep(LOOK).await;
        let Some(passage) = passage.upgrade() else {
            return;
        };
        // The host may be away for a while; whoever asks of it sees that.
        let _ = passage.renew(&mut passage.led.lock().await).await;
    }
}

impl Passage for ThroughSsh {
    fn lead(&self, target: SocketAddr) -> BoxFuture<'_, Result<SocketAddr, String>> {
        let leading = ThroughSsh::lead(self, target);
        leading
            .map(|led| led.map_err(|error| error.to_string()))
            .boxed()
    }
}

impl Wanting<'_> {
    /// Connects to the cluster of a shop that was brought up from here: directly, or through ssh if that does not get
    /// through.
    pub async fn connect(&self) -> Result<Cluster, K3sError> {
        let path = kubeconfig(self.folder.state_dir());
        let (through, refused) = match self.way(&path).await {
            Ok(through) => (through, None),
            Err(error) => (None, Some(error)),
        };
        let connected = Cluster::connect_through(&path, through).await;
        Ok(connected.map_err(|error| match (error, refused) {
            (
                ClusterError::Unreachable {
                    doing,
                    server,
                    reason,
                },
                Some(refused),
            ) => ClusterError::Unreachable {
                doing,
                server,
                reason: format!("{reason}; and through ssh: {refused}"),
            },
            (error, _) => error,
        })?)
    }

    /// The same for whoever can do without the cluster: none if it does not answer soon.
    pub(super) async fn running_cluster(&self) -> Option<Cluster> {
        let path = kubeconfig(self.folder.state_dir());
        if !path.exists() {
            return None;
        }
        // How long ssh may take is ssh's to know: it may pass jump hosts, and wait for a key to be touched.
        let through = self.way(&path).await.ok()?;
        // Through it each answer takes as long as it takes.
        let patience = if through.is_some() {
            ANSWER * 4
        } else {
            ANSWER
        };
        let connecting = Cluster::connect_through(&path, through);
        timeout(patience, connecting).await.ok()?.ok()
    }

    /// The passage, if it takes one and there can be one.
    async fn way(&self, kubeconfig: &Path) -> Result<Option<Through>, HostError> {
        let Some((host, port)) = Cluster::address_in(kubeconfig) else {
            return Ok(None);
        };
        if gets_through((host.as_str(), port)).await {
            return Ok(None);
        }
        let specs = host_specs(self.environment, self.beside);
        let Some(spec) = first_server(self.environment, specs) else {
            return Ok(None);
        };
        let folder = SshFolder::new(self.folder.state_dir(), self.folder.run_dir());
        let passage = ThroughSsh::open(spec, &folder).await?;
        let there = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Some((passage, there)))
    }
}

/// Whether somebody takes connections at an address. One that refuses them for the whole time may be a packet filter as well
/// as a server that is away.
pub(super) async fn gets_through(address: impl ToSocketAddrs + Copy) -> bool {
    let dialing = async {
        loop {
            match TcpStream::connect(address).await {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    sleep(DIRECT / 10).await;
                }
                Err(_) => return false,
            }
        }
    };
    timeout(DIRECT, dialing).await.unwrap_or(false)
}

/// How the server that the kubeconfig leads to is reached, if that is over ssh. It needs no root for this.
fn first_server(environment: &Environment, specs: Vec<HostSpec>) -> Option<HostSpec> {
    let cluster = wanted_cluster(environment, Given::default(), |_| String::new());
    let name = &cluster.first_server()?.name;
    let first = specs.into_iter().find(|spec| spec.name == *name)?;
    (first.connection == Connection::Ssh).then_some(HostSpec {
        without_sudo: true,
        ..first
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passage_leads_through_the_first_server_and_only_over_ssh() {
        let loaded = crate::project::Project::at("/nonexistent")
            .load("single-node")
            .unwrap();
        let environment = loaded.file.environment();
        let specs = host_specs(environment, Path::new("."));
        let stranger = HostSpec {
            name: "a-stranger".to_owned(),
            ..HostSpec::default()
        };
        let both = vec![stranger, specs[0].clone()];
        let spec = first_server(environment, both).unwrap();
        assert_eq!((&spec.name, spec.without_sudo), (&specs[0].name, true));
        let local = specs.into_iter().map(|spec| HostSpec {
            connection: Connection::Local,
            ..spec
        });
        assert_eq!(first_server(environment, local.collect()), None);
    }
}
