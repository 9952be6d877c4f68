//! Takes connections and passes their bytes on to the master, for as long as it is the master.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use shop_common::redis::MasterWatch;
use shop_common::server::Shutdown;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::ForwardSettings;

/// How long to wait when the process has no file descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(50);

/// Forwards until the shutdown, and then closes what is open: its clients connect to another replica.
pub(crate) async fn run(
    listener: TcpListener,
    master: MasterWatch,
    settings: ForwardSettings,
    shutdown: Shutdown,
) {
    let places = Arc::new(Semaphore::new(settings.maximum_connections));
    while let Some(accepted) = shutdown.or_until(listener.accept()).await {
        let client = match accepted {
            Ok((client, _)) => client,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(OUT_OF_FILES).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            counter!("redis_primary_connections_total", "outcome" => "full").increment(1);
            continue;
        };
        let (master, shutdown) = (master.clone(), shutdown.clone());
        tokio::spawn(async move {
            gauge!("redis_primary_connections").increment(1.0);
            let ended = shutdown.or_until(serve(client, master, settings)).await;
            let outcome = ended.unwrap_or("shutdown");
            gauge!("redis_primary_connections").decrement(1.0);
            counter!("redis_primary_connections_total", "outcome" => outcome).increment(1);
            drop(place);
        });
    }
}

/// Serves one client and says how it ended.
async fn serve(
    mut client: TcpStream,
    mut master: MasterWatch,
    settings: ForwardSettings,
) -> &'static str {
    let found = tokio::time::timeout(settings.patience(), connect(&mut master)).await;
    let Ok(Some((address, mut server))) = found else {
        return "no master";
    };
    // Small commands must not wait for a delayed acknowledgement.
    for stream in [&client, &server] {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection kept its delay");
        }
    }
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => "done",
        () = master.moved_from(&address) => "moved",
    }
}

/// Connects to the master that there is, or to the next one that there will be.
async fn connect(master: &mut MasterWatch) -> Option<(String, TcpStream)> {
    loop {
        let address = master.known().await?;
        let connected: io::Result<TcpStream> = TcpStream::connect(&address).await;
        match connected {
            // The master may have moved while the connection was made.
            Ok(server) if master.now().as_ref() == Ok(&address) => return Some((address, server)),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(address, %error, "failed to connect to the master");
                tokio::time::sleep(OUT_OF_FILES).await;
            }
        }
    }
}
