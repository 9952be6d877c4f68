//! All hosts of an environment at once.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Connection, Host, HostError, HostSpec, LocalHost, SshFolder, SshHost, SudoPasswords};

/// What connecting needs.
#[derive(Clone, Copy)]
pub struct Connecting<'a> {
    /// Where known keys and sockets are.
    pub folder: &'a SshFolder,
    /// Who knows passwords for sudo.
    pub passwords: &'a dyn SudoPasswords,
}

/// Connects to all hosts, side by side. What fails is told for each host, in their order.
pub async fn connect_all(
    specs: &[HostSpec],
    connecting: Connecting<'_>,
) -> Vec<Result<Arc<dyn Host>, HostError>> {
    join_all(specs.iter().map(|spec| connect(spec, connecting))).await
}

async fn connect(spec: &HostSpec, connecting: Connecting<'_>) -> Result<Arc<dyn Host>, HostError> {
    let spec = spec.clone();
    Ok(match spec.connection {
        Connection::Local => Arc::new(LocalHost::new(spec, connecting.passwords).await?),
        Connection::Ssh => {
            Arc::new(SshHost::connect(spec, connecting.folder, connecting.passwords).await?)
        }
    })
}
