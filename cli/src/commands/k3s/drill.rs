//! Breaks a shop on a cluster on purpose: containers through their hosts, pods through the API server, hosts by commands
//! that the environment names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::site::{Site, Visit};
use super::{Session, failure};
use crate::args::DrillArgs;
use crate::bootstrap::{BootstrapError, host_specs};
use crate::cluster::Cluster;
use crate::commands::drill::{Drilling, alone, drill_failure, tell_healed};
use crate::commands::{Context, block_on_interruptible};
use crate::drill::ground::{ClusterGround, ClusterGrounds, Ground};
use crate::drill::heal;
use crate::environment::DrillProfile;
use crate::host::{Connecting, Host, SshFolder, connect_all};
use crate::project::Loaded;
use crate::render::pod_host;
use crate::shop::RedisAccess;
use crate::target::k3s::{K3sError, NAMESPACE, Outages, Tunnel};
use crate::ui::{ExitCode, Failure};

/// How long the database may take to be back with its host.
const UNTIL_BACK: Duration = Duration::from_mins(4);

/// Breaks the shop on purpose, or undoes what a killed drill left.
pub(in crate::commands) fn drill(
    args: &DrillArgs,
    profile: &DrillProfile,
    context: &Context,
    loaded: &Loaded,
) -> Result<(), Failure> {
    let session = Session::open(context, loaded)?;
    let observer = context.ui.observer();
    let work = async |interrupt| {
        let visit = Visit {
            command: if args.heal {
                "failover-drill --heal"
            } else {
                "failover-drill"
            },
            refuse: true,
            patience: if args.heal {
                UNTIL_BACK
            } else {
                Duration::ZERO
            },
            observer: &*observer,
            interrupt: &interrupt,
        };
        // An `up` from this machine would mend what is being broken, before it asks for the lease.
        let _lock = alone(&session.folder, visit.command, &*observer, &interrupt).await?;
        let outages = Outages::new(&session.beside, session.folder.state_dir());
        // Whoever is without power cannot be asked for anything.
        let mended = if args.heal {
            give_back(&outages).await?
        } else {
            Vec::new()
        };
        Site::visit(&session, &visit, async |site, interrupt| {
            let near = Near::open(&session, site).await?;
            let hosts = if args.heal {
                BTreeMap::new()
            } else {
                hosts(&session).await?
            };
            let ground = ClusterGround::watch(ClusterGrounds {
                cluster: &site.cluster,
                environment: session.environment(),
                catalogue: &session.loaded.catalogue,
                redis: &near.redis,
                hosts,
                outages: outages.clone(),
            })
            .await
            .map_err(drill_failure)?;
            let ground: Arc<dyn Ground> = Arc::new(ground);
            if args.heal {
                let (shop, auditor) = (&site.shop, &site.auditor);
                let mut healed = heal(&*ground, shop, auditor, &near.redis, &*observer, interrupt)
                    .await
                    .map_err(drill_failure)?;
                healed.continued.extend(mended);
                return tell_healed(context, &healed);
            }
            let drilling = Drilling {
                args,
                profile,
                context,
                loaded,
                folder: &session.folder,
                ground,
                shop: &site.shop,
                way: site.way(),
                auditor: &site.auditor,
                redis: &near.redis,
                observer: &*observer,
                interrupt,
            };
            drilling.run().await
        })
        .await
    };
    block_on_interruptible(work, given_up)
}

/// What a user is told after the second Ctrl-C.
fn given_up() -> Failure {
    Failure::new("failed to end the drill: given up at the second Ctrl-C")
        .hint(
            "Kubernetes replaces what hangs; `shopctl failover-drill --heal` gives a host its power and network again, waits \
             until the shop is whole and removes the test data",
        )
        .exit(ExitCode::Unknown)
}

/// Gives hosts back what a drill took from them that was killed. Says which.
pub(super) async fn give_back(outages: &Outages) -> Result<Vec<String>, Failure> {
    let mended = outages
        .give_back_all()
        .await
        .map_err(|reason| Failure::new(format!("failed to mend what a drill broke: {reason}")))?;
    Ok(mended
        .into_iter()
        .map(|host| format!("the host {host}"))
        .collect())
}

/// The hosts, by the names of their nodes.
async fn hosts(session: &Session<'_>) -> Result<BTreeMap<String, Arc<dyn Host>>, Failure> {
    let specs = host_specs(session.environment(), &session.beside);
    let folder = SshFolder::new(session.folder.state_dir(), session.folder.run_dir());
    let connecting = Connecting {
        folder: &folder,
        passwords: &session.passwords,
    };
    let connected: Result<Vec<Arc<dyn Host>>, _> =
        connect_all(&specs, connecting).await.into_iter().collect();
    let connected =
        connected.map_err(|error| failure(K3sError::from(BootstrapError::from(error))))?;
    let named = connected
        .into_iter()
        .map(|host| (host.name().to_owned(), host));
    Ok(named.collect())
}

/// Redis and its Sentinels, brought to this machine.
struct Near {
    redis: RedisAccess,
    /// The ways to them stay open as long as this is there.
    _tunnels: Vec<Tunnel>,
}

impl Near {
    async fn open(session: &Session<'_>, site: &Site) -> Result<Self, Failure> {
        let mut tunnels = Vec::new();
        let mut ways = Vec::new();
        for (component, port) in RedisAccess::COMPONENTS {
            ways.push(addresses(session, &site.cluster, component, port, &mut tunnels).await?);
        }
        let far = RedisAccess::new(session.environment(), &site.secrets);
        let redis = match ways.as_slice() {
            [servers, sentinels] => far.elsewhere(servers, sentinels),
            _ => far,
        };
        Ok(Self {
            redis,
            _tunnels: tunnels,
        })
    }
}

/// The addresses that the instances of a component announce, each with the one that leads there from this machine.
async fn addresses(
    session: &Session<'_>,
    cluster: &Cluster,
    component: &str,
    port: &str,
    tunnels: &mut Vec<Tunnel>,
) -> Result<Vec<(String, SocketAddr)>, Failure> {
    let settings = session.environment().components.get(component);
    let host = session
        .loaded
        .catalogue
        .get(component)
        .and_then(|component| component.pod.host.clone());
    let (Some(settings), Some(host)) = (settings, host) else {
        return Ok(Vec::new());
    };
    let port = settings.ports.get(port).copied().unwrap_or_default();
    let mut ways = Vec::new();
    for ordinal in 0..settings.replicas {
        let instance = format!("{component}-{ordinal}");
        let tunnel = Tunnel::to_pod(cluster, NAMESPACE, &instance, port)
            .await
            .map_err(failure)?;
        let host = pod_host(&host, &instance, session.environment());
        let announced = format!("{host}:{port}");
        ways.push((announced, tunnel.address()));
        tunnels.push(tunnel);
    }
    Ok(ways)
}
