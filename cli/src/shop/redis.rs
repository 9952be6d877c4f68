//! Redis and its Sentinels as a client of the shop sees them: who is master, whether it takes writes, who follows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, Value, cmd,
};

use crate::environment::Environment;
use crate::render::{Secret, SecretSet};

/// Component, port, the user that services connect as, and the secret with its password.
const SERVERS: (&str, &str, &str, &str) = ("redis", "redis", "shop-order", "redis-order");
const SENTINELS: (&str, &str, &str, &str) = ("sentinel", "sentinel", "client", "sentinel-client");
/// The setting that names the master for the Sentinels.
const MASTER_NAME: &str = "masterName";
/// A key that this user may write and nobody reads.
const PROBE_KEY: &str = "lock:drill-probe";
/// Deletes a lock if it is still the token's.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";
/// How long an answer may take. What hangs is as good as gone.
const PATIENCE: Duration = Duration::from_millis(200);
/// The same through a tunnel, which a busy API server takes some time to make.
const FAR_PATIENCE: Duration = Duration::from_millis(1_500);

/// The Redis of an environment.
#[derive(Clone, Debug)]
pub struct RedisAccess {
    servers: Vec<String>,
    sentinels: Vec<String>,
    /// Where those are reached that are not reached at their own addresses.
    ways: BTreeMap<String, SocketAddr>,
    patience: Duration,
    master_name: String,
    user: String,
    password: Option<Secret>,
    sentinel_password: Option<Secret>,
}

/// What one Sentinel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelView {
    /// The master's address.
    pub master: String,
    /// The epoch of the configuration that made it the master.
    pub epoch: u64,
    /// Whether this Sentinel holds it for dead.
    pub down: bool,
}

/// What one server says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRole {
    /// It takes writes.
    Master,
    /// It follows a master.
    Replica {
        /// The master's address.
        of: String,
        /// Whether it has all that the master had when they last spoke.
        linked: bool,
    },
}

/// Connections to one server or Sentinel that are kept between questions.
#[derive(Default)]
pub struct KeptConnection(Option<(String, MultiplexedConnection)>);

impl RedisAccess {
    /// Where Redis and its Sentinels are on this machine.
    pub fn new(environment: &Environment, secrets: &SecretSet) -> Self {
        let addresses = |(component, port, ..): (&str, &str, &str, &str)| {
            let settings = environment.components.get(component);
            let first = settings.and_then(|settings| settings.ports.get(port).copied());
            let count = settings.map_or(0, |settings| settings.replicas);
            first
                .into_iter()
                .flat_map(|first| (0..count).map(move |ordinal| u32::from(first) + ordinal))
                .map(|port| format!("127.0.0.1:{port}"))
                .collect()
        };
        let master_name = environment
            .components
            .get(SERVERS.0)
            .and_then(|settings| settings.settings.get(MASTER_NAME)?.as_str());
        Self {
            servers: addresses(SERVERS),
            sentinels: addresses(SENTINELS),
            ways: BTreeMap::new(),
            patience: PATIENCE,
            master_name: master_name.unwrap_or_default().to_owned(),
            user: SERVERS.2.to_owned(),
            password: secrets.get(SERVERS.3).cloned(),
            sentinel_password: secrets.get(SENTINELS.3).cloned(),
        }
    }

    /// The same for servers and Sentinels elsewhere, each with its own address, which the others know it by, and the one
    /// at which it is reached from here.
    #[must_use]
    pub fn elsewhere(
        self,
        servers: &[(String, SocketAddr)],
        sentinels: &[(String, SocketAddr)],
    ) -> Self {
        let names = |of: &[(String, SocketAddr)]| of.iter().map(|(name, _)| name.clone()).collect();
        Self {
            servers: names(servers),
            sentinels: names(sentinels),
            ways: servers.iter().chain(sentinels).cloned().collect(),
            patience: FAR_PATIENCE,
            ..self
        }
    }

    /// The component of the servers and of the Sentinels, and the port that each is reached at.
    pub const COMPONENTS: [(&str, &str); 2] = [(SERVERS.0, SERVERS.1), (SENTINELS.0, SENTINELS.1)];

    /// One server without Sentinels, as `redis://USER:PASSWORD@HOST:PORT/`.
    #[cfg(test)]
    pub(crate) fn at(url: &str) -> Self {
        let login = url
            .trim_start_matches("redis://")
            .split_once('@')
            .and_then(|(login, server)| Some((login.split_once(':')?, server)));
        let ((user, password), server) = login.unwrap_or_else(|| panic!("no login in {url}"));
        Self {
            servers: vec![server.trim_end_matches('/').to_owned()],
            sentinels: Vec::new(),
            ways: BTreeMap::new(),
            patience: PATIENCE,
            master_name: String::new(),
            user: user.to_owned(),
            password: Some(Secret::new("test", password)),
            sentinel_password: None,
        }
    }

    /// The servers' addresses.
    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    /// The Sentinels' addresses.
    pub fn sentinels(&self) -> &[String] {
        &self.sentinels
    }

    /// What a Sentinel says of the master; none if it does not answer in time.
    pub async fn view(&self, sentinel: &str, kept: &mut KeptConnection) -> Option<SentinelView> {
        let mut question = cmd("SENTINEL");
        question.arg("MASTER").arg(&self.master_name);
        let password = self.sentinel_password.as_ref();
        let answer = self
            .ask(kept, sentinel, SENTINELS.2, password, &question)
            .await
            .ok()?;
        let fields: std::collections::HashMap<String, String> =
            redis::from_redis_value(answer).ok()?;
        let flags = fields.get("flags")?;
        Some(SentinelView {
            master: format!("{}:{}", fields.get("ip")?, fields.get("port")?),
            epoch: fields.get("config-epoch")?.parse().ok()?,
            down: flags
                .split(',')
                .any(|flag| flag == "s_down" || flag == "o_down"),
        })
    }

    /// Connects to a server, so that the next question need not.
    pub async fn know(&self, server: &str, kept: &mut KeptConnection) {
        // One that is not there is tried again with the next question.
        let _ = self.query(server, kept, &cmd("ROLE")).await;
    }

    /// Whether a server takes a write, acknowledged in time.
    pub async fn takes_write(&self, server: &str, kept: &mut KeptConnection) -> bool {
        let mut write = cmd("SET");
        write.arg(PROBE_KEY).arg("1").arg("EX").arg(60);
        self.query(server, kept, &write).await.is_some()
    }

    /// What a server says that it is; none if it does not answer in time.
    pub async fn role(&self, server: &str) -> Option<ServerRole> {
        let mut kept = KeptConnection::default();
        let answer = self.query(server, &mut kept, &cmd("ROLE")).await?;
        let Value::Array(words) = answer else {
            return None;
        };
        let text = |place: usize| -> Option<String> {
            redis::from_redis_value(words.get(place)?.clone()).ok()
        };
        match text(0)?.as_str() {
            "master" => Some(ServerRole::Master),
            "slave" => Some(ServerRole::Replica {
                of: format!("{}:{}", text(1)?, text(2)?),
                linked: text(3)? == "connected",
            }),
            _ => None,
        }
    }

    /// The server that says that it is the master; none if there is not exactly one.
    pub async fn master(&self) -> Option<String> {
        let mut masters = Vec::new();
        for server in &self.servers {
            if self.role(server).await == Some(ServerRole::Master) {
                masters.push(server.clone());
            }
        }
        match masters.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// What stands in these locks, in their order; none if the server does not answer in time.
    pub async fn locks(
        &self,
        server: &str,
        keys: &[String],
        kept: &mut KeptConnection,
    ) -> Option<Vec<Option<String>>> {
        let mut question = cmd("MGET");
        question.arg(keys);
        redis::from_redis_value(self.query(server, kept, &question).await?).ok()
    }

    /// How long a lock has to live; none if there is no such lock.
    pub async fn lock_left(
        &self,
        server: &str,
        key: &str,
        kept: &mut KeptConnection,
    ) -> Option<Duration> {
        let mut question = cmd("PTTL");
        question.arg(key);
        let left: i64 = redis::from_redis_value(self.query(server, kept, &question).await?).ok()?;
        u64::try_from(left).ok().map(Duration::from_millis)
    }

    /// Takes a lock that nobody has, as its services do. Whether it was free.
    pub async fn take_lock(
        &self,
        server: &str,
        key: &str,
        token: &str,
        lifetime: Duration,
        kept: &mut KeptConnection,
    ) -> bool {
        let mut take = cmd("SET");
        take.arg(key).arg(token).arg("NX").arg("PX");
        take.arg(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        self.query(server, kept, &take).await == Some(Value::Okay)
    }

    /// Gives a lock back if it is still this token's.
    pub async fn release_lock(
        &self,
        server: &str,
        key: &str,
        token: &str,
        kept: &mut KeptConnection,
    ) {
        let mut release = cmd("EVAL");
        release.arg(RELEASE).arg(1).arg(key).arg(token);
        // Without an answer it ends by itself.
        let _ = self.query(server, kept, &release).await;
    }

    async fn query(
        &self,
        server: &str,
        kept: &mut KeptConnection,
        question: &redis::Cmd,
    ) -> Option<Value> {
        self.ask(kept, server, &self.user, self.password.as_ref(), question)
            .await
            .ok()
    }

    /// Asks over the kept connection, or a new one. What fails is asked anew next time; who refuses has been reached, and
    /// the way to him is kept: through a tunnel it takes longer to make one than Redis takes to fail over.
    async fn ask(
        &self,
        kept: &mut KeptConnection,
        address: &str,
        user: &str,
        password: Option<&Secret>,
        question: &redis::Cmd,
    ) -> Result<Value, RedisError> {
        let way = self.ways.get(address).map(SocketAddr::to_string);
        let asked = async {
            let mut connection = match kept.0.take() {
                Some((to, connection)) if to == address => connection,
                _ => {
                    let at = way.as_deref().unwrap_or(address);
                    open(at, user, password, self.patience).await?
                }
            };
            let answer = question.query_async::<Value>(&mut connection).await;
            Ok::<_, RedisError>((answer, connection))
        };
        let (answer, connection) = tokio::time::timeout(self.patience, asked)
            .await
            .map_err(|_| RedisError::from((ErrorKind::Io, "no answer in time")))??;
        let answered = answer.as_ref().err().is_none_or(|error| {
            matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
        });
        if answered {
            kept.0 = Some((address.to_owned(), connection));
        }
        answer
    }
}

async fn open(
    address: &str,
    user: &str,
    password: Option<&Secret>,
    patience: Duration,
) -> Result<MultiplexedConnection, RedisError> {
    let (host, port) = address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
        .ok_or_else(|| {
            let kind = ErrorKind::InvalidClientConfig;
            RedisError::from((kind, "an address must be host:port", address.to_owned()))
        })?;
    let mut login = RedisConnectionInfo::default()
        .set_skip_set_lib_name()
        .set_username(user);
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    let info = ConnectionAddr::Tcp(host, port)
        .into_connection_info()?
        .set_redis_settings(login);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience));
    Client::open(info)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

#[cfg(test)]
mod tests {
    use shop_testkit::{Redis, RedisUser};

    use super::*;

    #[tokio::test]
    async fn who_refuses_a_write_is_asked_again_over_the_same_connection() {
        let redis = Redis::start();
        let access = RedisAccess::at(&redis.url(RedisUser::Order));
        let server = access.servers()[0].clone();
        let wants_replicas = |number: &str| {
            let set = ["CONFIG", "SET", "min-replicas-to-write", number];
            redis.command(&set).unwrap();
        };
        let mut kept = KeptConnection::default();
        wants_replicas("1");
        assert!(!access.takes_write(&server, &mut kept).await);
        assert!(kept.0.is_some());
        wants_replicas("0");
        assert!(access.takes_write(&server, &mut kept).await);
        drop(redis);
        assert!(!access.takes_write(&server, &mut kept).await);
        assert!(kept.0.is_none());
    }
}
