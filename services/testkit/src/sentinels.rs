//! A Redis master with two replicas under three Sentinels.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::folder::Folder;
use crate::poll::wait_until;
use crate::ports::free_port;
use crate::redis::{Mode, Node, RedisUser, Users};

const SETTLED: Duration = Duration::from_secs(30);
/// For how long a master owes an answer before it counts as dead, in milliseconds. More than the shop's own 1200, which an
/// idle machine keeps: where tests take every processor, a living master may be silent for that long.
const DOWN_AFTER: u64 = 2000;
/// The name under which the Sentinels know the master.
const MASTER_NAME: &str = "shop";

/// Three servers and three Sentinels of a test's own.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Node>,
    watchers: Vec<Node>,
    users: Users,
    _folder: Folder,
}

impl Sentinels {
    /// Starts them and waits until every Sentinel knows both replicas and both other Sentinels, so that a
    /// failover can be decided from then on.
    pub fn start() -> Self {
        let folder = Folder::new();
        let users = Users::new(&folder);
        let admin = users.password(RedisUser::Admin).to_owned();
        let ports = [free_port(), free_port(), free_port()];
        let servers: Vec<Node> = (0..3)
            .map(|ordinal| {
                let replica = if ordinal == 0 {
                    String::new()
                } else {
                    format!("replicaof 127.0.0.1 {}\n", ports[0])
                };
                let extra = format!(
                    "{}masteruser admin\nmasterauth {admin}\nrepl-diskless-sync-delay 0\n{replica}",
                    users.server_lines()
                );
                Node::start(
                    &folder,
                    &format!("redis-{ordinal}"),
                    ports[ordinal],
                    &extra,
                    Mode::Server,
                )
            })
            .collect();
        for server in &servers {
            server.wait_ready(&admin);
        }
        let watchers: Vec<Node> = (0..3)
            .map(|ordinal| {
                let extra = format!(
                    "sentinel monitor {MASTER_NAME} 127.0.0.1 {} 2\n\
                     sentinel auth-user {MASTER_NAME} admin\nsentinel auth-pass {MASTER_NAME} {admin}\n\
                     sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER}\nsentinel failover-timeout {MASTER_NAME} 6000\n\
                     sentinel parallel-syncs {MASTER_NAME} 2\n\
                     sentinel sentinel-user admin\nsentinel sentinel-pass {admin}\n{}",
                    ports[0],
                    users.sentinel_lines(),
                );
                Node::start(&folder, &format!("sentinel-{ordinal}"), free_port(), &extra, Mode::Sentinel)
            })
            .collect();
        let started = Self {
            servers,
            watchers,
            users,
            _folder: folder,
        };
        started.wait_settled();
        started
    }

    /// The name of the master, for clients.
    pub fn master_name(&self) -> &'static str {
        MASTER_NAME
    }

    /// The Sentinels' addresses.
    pub fn sentinel_addresses(&self) -> Vec<String> {
        self.watchers
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port))
            .collect()
    }

    /// The servers' ports; the first was started as the master.
    pub fn server_ports(&self) -> Vec<u16> {
        self.servers.iter().map(|server| server.port).collect()
    }

    /// A user's password.
    pub fn password(&self, user: RedisUser) -> &str {
        self.users.password(user)
    }

    /// The section `[redis]` of a service's configuration.
    pub fn config_section(&self, user: RedisUser) -> String {
        let addresses: Vec<String> = self
            .sentinel_addresses()
            .iter()
            .map(|address| format!("\"{address}\""))
            .collect();
        format!(
            "[redis]\nsentinels = [{}]\nmasterName = \"{MASTER_NAME}\"\nsentinelUser = \"{}\"\nsentinelPasswordFile = \"{}\"\nuser = \"{}\"\npasswordFile = \"{}\"\n",
            addresses.join(", "),
            RedisUser::SentinelClient.name(),
            self.users
                .password_file(RedisUser::SentinelClient)
                .display(),
            user.name(),
            self.users.password_file(user).display(),
        )
    }

    /// The index of the server that says it is a master, if exactly one of the running does.
    pub fn master(&self) -> Option<usize> {
        let masters: Vec<usize> = (0..self.servers.len())
            .filter(|&index| {
                self.command(index, &["ROLE"])
                    .is_ok_and(|role| role == "master")
            })
            .collect();
        match masters[..] {
            [master] => Some(master),
            _ => None,
        }
    }

    /// The index of the server that every Sentinel names as the master, if they agree.
    pub fn named(&self) -> Option<usize> {
        let admin = self.users.password(RedisUser::Admin);
        let asked = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME];
        let mut ports = self.watchers.iter().map(|sentinel| {
            let address = sentinel.values(admin, &asked).ok()?;
            address.last()?.parse::<u16>().ok()
        });
        let first = ports.next()??;
        let agree = ports.all(|port| port == Some(first));
        let named = self.servers.iter().position(|server| server.port == first);
        named.filter(|_| agree)
    }

    /// Runs one command on a server as the administrator; the first value of the answer.
    pub fn command(&self, server: usize, words: &[&str]) -> Result<String, String> {
        self.servers[server].command(self.users.password(RedisUser::Admin), words)
    }

    /// Kills a server with SIGKILL.
    pub fn kill9(&mut self, server: usize) {
        self.servers[server].process.kill9();
    }

    /// Freezes a server: clients wait and hear nothing.
    pub fn pause(&mut self, server: usize) {
        self.servers[server].process.signal(Signal::SIGSTOP);
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&mut self, server: usize) {
        self.servers[server].process.signal(Signal::SIGCONT);
    }

    /// Kills a Sentinel with SIGKILL.
    pub fn kill9_sentinel(&mut self, sentinel: usize) {
        self.watchers[sentinel].process.kill9();
    }

    /// Starts a killed server again on its data and port, and waits until it answers.
    pub fn start_again(&mut self, server: usize) {
        self.servers[server].process.respawn();
        self.servers[server].wait_ready(self.users.password(RedisUser::Admin));
    }

    /// Waits until a running server other than `old` is the only master, and returns its index.
    pub fn wait_failover(&self, old: usize) -> usize {
        wait_until("another master", SETTLED, || match self.master() {
            Some(master) if master != old => Ok(master),
            other => Err(format!("master {other:?}")),
        })
    }

    fn wait_settled(&self) {
        let admin = self.users.password(RedisUser::Admin);
        for sentinel in &self.watchers {
            sentinel.wait_ready(admin);
            // Told by CKQUORUM only once the others are known; an OK also says that a failover could be authorized.
            wait_until("a Sentinel to know its quorum", SETTLED, || match sentinel
                .command(admin, &["SENTINEL", "CKQUORUM", MASTER_NAME])?
            {
                answer if answer.starts_with("+OK 3 ") => Ok(()),
                other => Err(other),
            });
            for ordinal in 1..self.servers.len() {
                wait_until("a Sentinel to know the replicas", SETTLED, || {
                    let listed = sentinel.values(admin, &["SENTINEL", "REPLICAS", MASTER_NAME])?;
                    let port = self.servers[ordinal].port.to_string();
                    if listed.contains(&port) {
                        Ok(())
                    } else {
                        Err(format!("no replica on port {port} yet"))
                    }
                });
            }
        }
        for replica in 1..self.servers.len() {
            wait_until("the replicas to be linked", SETTLED, || {
                let info = self.servers[replica].command(admin, &["INFO", "replication"])?;
                if info.contains("master_link_status:up") {
                    Ok(())
                } else {
                    Err(info)
                }
            });
        }
    }
}
