//! A Redis server with the shop's users.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::folder::Folder;
use crate::poll::wait_until;
use crate::ports::free_port;
use crate::process::{Launch, Process};
use crate::programs;

pub(crate) const START: Duration = Duration::from_secs(20);
/// What a service may do: everything but administration. ROLE tells a client whether it really talks to a master.
const SERVICE_RULES: &str = "~* &* +@all -@admin -@dangerous +role +info";

/// Who connects to a Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisUser {
    /// The order service: locks.
    Order,
    /// The gateway: rate limits.
    Gateway,
    /// A client that asks the Sentinels for the master. Exists on Sentinels only.
    SentinelClient,
    /// The test itself: may everything.
    Admin,
}

impl RedisUser {
    const ALL: [Self; 4] = [
        Self::Order,
        Self::Gateway,
        Self::SentinelClient,
        Self::Admin,
    ];

    /// Its name in the access list.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "shop-order",
            Self::Gateway => "shop-gateway",
            Self::SentinelClient => "client",
            Self::Admin => "admin",
        }
    }
}

/// The users' passwords and the files that hold them.
#[derive(Debug)]
pub(crate) struct Users {
    entries: Vec<(RedisUser, String, PathBuf)>,
}

impl Users {
    pub(crate) fn new(folder: &Folder) -> Self {
        let entries = RedisUser::ALL.map(|user| {
            let password = hex::encode(rand::random::<[u8; 16]>());
            let file = folder.write(
                &format!("redis-{}.password", user.name()),
                &format!("{password}\n"),
            );
            (user, password, file)
        });
        Self {
            entries: entries.into(),
        }
    }

    pub(crate) fn password(&self, user: RedisUser) -> &str {
        &self.entry(user).1
    }

    pub(crate) fn password_file(&self, user: RedisUser) -> &Path {
        &self.entry(user).2
    }

    fn entry(&self, user: RedisUser) -> &(RedisUser, String, PathBuf) {
        self.entries
            .iter()
            .find(|(each, ..)| *each == user)
            .unwrap_or_else(|| panic!("no user {user:?}"))
    }

    /// The access list of a Redis server.
    pub(crate) fn server_lines(&self) -> String {
        let service = |user: RedisUser| {
            format!(
                "user {} on >{} {SERVICE_RULES}\n",
                user.name(),
                self.password(user)
            )
        };
        let admin = self.admin_line();
        format!(
            "user default off\n{admin}{}{}",
            service(RedisUser::Order),
            service(RedisUser::Gateway)
        )
    }

    /// The access list of a Sentinel.
    pub(crate) fn sentinel_lines(&self) -> String {
        let client = self.password(RedisUser::SentinelClient);
        let rules = "&* -@all +@connection -@admin -@dangerous +hello +auth +ping \
                     +subscribe +psubscribe +role \
                     +sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters \
                     +sentinel|replicas +sentinel|sentinels";
        format!(
            "user default off\n{}user client on >{client} {rules}\n",
            self.admin_line()
        )
    }

    fn admin_line(&self) -> String {
        format!(
            "user admin on >{} ~* &* +@all\n",
            self.password(RedisUser::Admin)
        )
    }
}

/// One server without Sentinels.
#[derive(Debug)]
pub struct Redis {
    node: Node,
    users: Users,
    _folder: Folder,
}

impl Redis {
    /// Starts it with an append-only file, and waits until it answers.
    pub fn start() -> Self {
        let folder = Folder::new();
        let users = Users::new(&folder);
        let port = free_port();
        let node = Node::start(
            &folder,
            "redis-0",
            port,
            &users.server_lines(),
            Mode::Server,
        );
        node.wait_ready(users.password(RedisUser::Admin));
        Self {
            node,
            users,
            _folder: folder,
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.node.port
    }

    /// A URL with the user's name and password.
    pub fn url(&self, user: RedisUser) -> String {
        format!(
            "redis://{}:{}@127.0.0.1:{}/",
            user.name(),
            self.users.password(user),
            self.node.port
        )
    }

    /// Runs one command as the administrator and returns the first line of the answer.
    pub fn command(&self, words: &[&str]) -> Result<String, String> {
        self.node
            .command(self.users.password(RedisUser::Admin), words)
    }

    /// Kills it with SIGKILL.
    pub fn kill9(&mut self) {
        self.node.process.kill9();
    }

    /// Starts it on the same data and port, and waits until it answers.
    pub fn start_again(&mut self) {
        self.node.process.respawn();
        self.node.wait_ready(self.users.password(RedisUser::Admin));
    }

    /// Freezes it: clients wait and hear nothing.
    pub fn pause(&mut self) {
        self.node.process.signal(Signal::SIGSTOP);
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&mut self) {
        self.node.process.signal(Signal::SIGCONT);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Server,
    Sentinel,
}

/// A process of redis-server, in either of its modes.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) port: u16,
    name: String,
}

impl Node {
    pub(crate) fn start(folder: &Folder, name: &str, port: u16, extra: &str, mode: Mode) -> Self {
        let data = folder.server_folder(name);
        let persistence = match mode {
            Mode::Server => "appendonly yes\nappendfsync everysec\nsave \"\"\n",
            Mode::Sentinel => "",
        };
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\n{persistence}{extra}",
            data.display()
        );
        let file = folder.write(&format!("{name}.conf"), &config);
        // A Sentinel rewrites its file, by way of a new one beside it.
        let own = data.join("server.conf");
        std::fs::rename(&file, &own)
            .unwrap_or_else(|error| panic!("failed to place {}: {error}", own.display()));
        crate::process::Unprivileged::find().own(&own);
        let mut argv = vec![
            programs::redis().display().to_string(),
            own.display().to_string(),
        ];
        if mode == Mode::Sentinel {
            argv.push("--sentinel".to_owned());
        }
        let process = Process::spawn(Launch {
            name: name.to_owned(),
            argv,
            environment: Vec::new(),
            log: folder.path().join(format!("{name}.log")),
            unprivileged: true,
            on_orphaned: Signal::SIGKILL,
        });
        Self {
            process,
            port,
            name: name.to_owned(),
        }
    }

    pub(crate) fn wait_ready(&self, admin_password: &str) {
        wait_until(&format!("{} to answer", self.name), START, || {
            match self.command(admin_password, &["PING"]) {
                Ok(answer) if answer == "+PONG" => Ok(()),
                Ok(other) => Err(other),
                Err(error) => Err(format!(
                    "{error}; its log ends with:\n{}",
                    self.process.log_tail()
                )),
            }
        });
    }

    /// One command on a connection of its own; the first value of the answer.
    pub(crate) fn command(&self, admin_password: &str, words: &[&str]) -> Result<String, String> {
        let values = self.values(admin_password, words)?;
        values
            .into_iter()
            .next()
            .ok_or_else(|| "the answer is empty".to_owned())
    }

    /// One command on a connection of its own; all values of the answer, however deep they are.
    pub(crate) fn values(
        &self,
        admin_password: &str,
        words: &[&str],
    ) -> Result<Vec<String>, String> {
        let run = || -> io::Result<Vec<String>> {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            let mut connection = BufReader::new(stream);
            request(&mut connection, &["AUTH", "admin", admin_password])?;
            request(&mut connection, words)
        };
        run().map_err(|error| format!("{} on port {}: {error}", self.name, self.port))
    }
}

fn request(connection: &mut BufReader<TcpStream>, words: &[&str]) -> io::Result<Vec<String>> {
    let arguments: Vec<String> = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()))
        .collect();
    let message = format!("*{}\r\n{}", words.len(), arguments.concat());
    connection.get_mut().write_all(message.as_bytes())?;
    let mut values = Vec::new();
    read_value(connection, &mut values)?;
    Ok(values)
}

/// Reads one answer of the Redis protocol. Errors and states keep their sign, as in `+OK`; nulls are left out.
fn read_value(connection: &mut BufReader<TcpStream>, values: &mut Vec<String>) -> io::Result<()> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let length = |digits: &str| {
        digits
            .parse::<i64>()
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    };
    if let Some(count) = line.strip_prefix('*') {
        for _ in 0..length(count)? {
            read_value(connection, values)?;
        }
    } else if let Some(bytes) = line.strip_prefix('$') {
        if let Ok(bytes) = usize::try_from(length(bytes)?) {
            let mut value = vec![0; bytes + "\r\n".len()];
            connection.read_exact(&mut value)?;
            values.push(String::from_utf8_lossy(&value[..bytes]).into_owned());
        }
    } else {
        values.push(line.to_owned());
    }
    Ok(())
}
