//! Asking the Sentinels who is master, and the master whether it is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, Value, cmd,
};

use crate::config::{ConfigError, RedisConfig, Secret, SecretFile};

/// How long one Sentinel, or the master's handshake, may take.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Why there is no connection to a master.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("failed to find the Redis master: no Sentinel is configured")]
    NoSentinels,
    #[error("failed to find the Redis master: {0}")]
    NoMaster(String),
    #[error("failed to connect to the Redis master at {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("failed to connect to the Redis master at {address}: it says that it is a {role}")]
    NotMaster { address: String, role: String },
    #[error("failed to read a Redis password: {0}")]
    Secret(String),
}

/// The Sentinels, asked in turn; the one that answered last is asked first.
pub(super) struct Sentinels {
    config: RedisConfig,
    next: usize,
    open: Option<MultiplexedConnection>,
}

impl Sentinels {
    pub(super) fn new(config: RedisConfig) -> Self {
        Self {
            config,
            next: 0,
            open: None,
        }
    }

    /// The master's address according to the first Sentinel that answers.
    pub(super) async fn master(&mut self) -> Result<String, ConnectError> {
        let count = self.config.sentinels.len();
        let mut seen = Vec::new();
        for _ in 0..count {
            let sentinel = self.config.sentinels[self.next % count].clone();
            match self.ask(&sentinel).await {
                Ok(Some(address)) => return Ok(address),
                Ok(None) => {
                    let name = &self.config.master_name;
                    seen.push(format!("{sentinel} does not know a master {name:?}"));
                }
                Err(reason) => seen.push(format!("{sentinel}: {reason}")),
            }
            self.open = None;
            self.next = (self.next + 1) % count;
        }
        if seen.is_empty() {
            return Err(ConnectError::NoSentinels);
        }
        Err(ConnectError::NoMaster(seen.join("; ")))
    }

    /// A connection to the server at `address`, once it has said that it is a master.
    pub(super) async fn connect(
        &self,
        address: &str,
    ) -> Result<MultiplexedConnection, ConnectError> {
        let unreachable = |reason: String| ConnectError::Unreachable {
            address: address.to_owned(),
            reason,
        };
        let password = secret(self.config.password_file.as_ref(), "the Redis user")?;
        let mut connection = open(address, self.config.user.as_deref(), password.as_ref())
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        match role(&mut connection).await {
            Ok(role) if role == "master" => Ok(connection),
            Ok(role) => Err(ConnectError::NotMaster {
                address: address.to_owned(),
                role,
            }),
            Err(error) => Err(unreachable(error.to_string())),
        }
    }

    async fn ask(&mut self, sentinel: &str) -> Result<Option<String>, String> {
        let mut connection = match self.open.take() {
            Some(connection) => connection,
            None => self.open_sentinel(sentinel).await?,
        };
        let mut question = cmd("SENTINEL");
        question
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&self.config.master_name);
        let answer: Option<(String, u16)> = question
            .query_async(&mut connection)
            .await
            .map_err(|error| error.to_string())?;
        self.open = Some(connection);
        Ok(answer.map(|(host, port)| join(&host, port)))
    }

    async fn open_sentinel(&self, sentinel: &str) -> Result<MultiplexedConnection, String> {
        let file = self.config.sentinel_password_file.as_ref();
        let password = secret(file, "the Sentinel user").map_err(|error| error.to_string())?;
        open(
            sentinel,
            self.config.sentinel_user.as_deref(),
            password.as_ref(),
        )
        .await
        .map_err(|error| error.to_string())
    }
}

/// What a server says that it is: `master`, `slave`, `sentinel`.
pub(super) async fn role(connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let answer: Value = cmd("ROLE").query_async(connection).await?;
    match answer {
        Value::Array(values) => {
            redis::from_redis_value(values.into_iter().next().unwrap_or(Value::Nil))
                .map_err(RedisError::from)
        }
        other => redis::from_redis_value(other).map_err(RedisError::from),
    }
}

fn secret(file: Option<&SecretFile>, purpose: &str) -> Result<Option<Secret>, ConnectError> {
    file.map(|file| file.read(purpose))
        .transpose()
        .map_err(|error: ConfigError| ConnectError::Secret(error.to_string()))
}

async fn open(
    address: &str,
    user: Option<&str>,
    password: Option<&Secret>,
) -> Result<MultiplexedConnection, RedisError> {
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    let info = split(address)?
        .into_connection_info()?
        .set_redis_settings(login);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT));
    Client::open(info)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// `host:port`, `address:port` or `[v6]:port`.
fn split(address: &str) -> Result<ConnectionAddr, RedisError> {
    if let Ok(socket) = address.parse::<SocketAddr>() {
        return Ok(ConnectionAddr::Tcp(socket.ip().to_string(), socket.port()));
    }
    address
        .rsplit_once(':')
        .and_then(|(host, port)| Some(ConnectionAddr::Tcp(host.to_owned(), port.parse().ok()?)))
        .ok_or_else(|| {
            let kind = redis::ErrorKind::InvalidClientConfig;
            RedisError::from((kind, "an address must be host:port", address.to_owned()))
        })
}

fn join(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports_and_survive_the_round_trip() {
        for (host, port, text) in [
            ("redis-0.redis", 6379, "redis-0.redis:6379"),
            ("127.0.0.1", 16379, "127.0.0.1:16379"),
            ("::1", 16379, "[::1]:16379"),
        ] {
            assert_eq!(join(host, port), text);
            assert_eq!(
                split(text).unwrap(),
                ConnectionAddr::Tcp(host.to_owned(), port)
            );
        }
        assert!(
            split("redis-0")
                .unwrap_err()
                .to_string()
                .contains("redis-0")
        );
    }
}
