//! A host over ssh.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::process::Command as Process;
use tokio::sync::{Mutex, Semaphore};

use super::SshFolder;
use super::keys;
use super::master::Master;
use super::options::{Trust, arguments};
use crate::host::command::{Exit, Input};
use crate::host::process::{self, Ended, Trouble};
use crate::host::quote::shell_line;
use crate::host::sudo::{Sudo, SudoPasswords};
use crate::host::{Command, Host, HostError, HostSpec, Output};

/// sshd allows ten sessions a connection; one is the connection's own.
const SESSIONS: usize = 8;
/// How often a session is asked for again that was refused, and after how long: one that has just ended may still count
/// on the other side.
const REFUSALS: u32 = 30;
const AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// How many ports are tried when one is to lead to the host, and how long that may take.
const PORTS: u32 = 3;
const FORWARDING: Duration = Duration::from_secs(5);
/// What ssh itself ends with when it fails, and a command that was ended by a signal.
const SSH_FAILED: i32 = 255;

/// Where ssh finds a host: what `ssh_config` makes of its name.
async fn resolved(spec: &HostSpec) -> String {
    let mut process = Process::new("ssh");
    if let Some(file) = &spec.config_file {
        process.arg("-F").arg(file);
    }
    process.args(["-G", "--", &spec.address]);
    let deadline = Duration::from_secs(10);
    let ended = process::run(&mut process, b"", Input::Nothing, deadline, 64 << 10).await;
    let found = match ended {
        Ok(Ended::Done(output)) => output
            .text()
            .lines()
            .find_map(|line| line.strip_prefix("hostname ").map(str::to_owned)),
        _ => None,
    };
    found.unwrap_or_else(|| spec.address.clone())
}

/// A port of this machine's loopback that nobody listens on. Somebody else may be faster to take it.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A host over ssh.
#[derive(Debug)]
pub struct SshHost {
    spec: HostSpec,
    folder: SshFolder,
    trust: Trust,
    sudo: Sudo,
    address: String,
    master: Mutex<Option<Master>>,
    /// How many connections there were before.
    before: AtomicU64,
    sessions: Semaphore,
}

impl SshHost {
    /// Connects, and finds out how to become root there. That root cannot be had is told by the first command that
    /// needs it.
    pub async fn connect(
        spec: HostSpec,
        folder: &SshFolder,
        passwords: &dyn SudoPasswords,
    ) -> Result<Self, HostError> {
        folder.make()?;
        let trust = keys::pin(&spec, folder).await?;
        let (master, standing) = Master::connect(&spec, folder, trust).await?;
        let sudo = if spec.without_sudo {
            Sudo::Root
        } else {
            Sudo::of(standing, &spec.name, &spec.user_shown(), passwords)
        };
        let address = resolved(&spec).await;
        let host = Self {
            spec,
            folder: folder.clone(),
            trust,
            master: Mutex::new(Some(master)),
            before: AtomicU64::new(0),
            sessions: Semaphore::new(SESSIONS),
            sudo,
            address,
        };
        host.try_password().await?;
        Ok(host)
    }

    /// The number of the connection that stands. It is made again if it was lost, and has another number then.
    pub async fn connection(&self) -> Result<u64, HostError> {
        self.socket().await?;
        Ok(self.before.load(Ordering::Relaxed))
    }

    /// A port of this machine's loopback, this one or any, that leads to an address as the host sees it, as long as the
    /// connection stands.
    pub async fn forward(
        &self,
        here: Option<SocketAddr>,
        target: SocketAddr,
    ) -> Result<SocketAddr, HostError> {
        let about = format!("lead a port of this machine to {target}");
        let unexpected = |reason: String| HostError::Unexpected {
            host: self.spec.name.clone(),
            about: about.clone(),
            reason,
        };
        let socket = self.socket().await?;
        let mut said = String::new();
        for _ in 0..PORTS {
            let here = match here {
                Some(here) => here,
                None => free_port().map_err(|error| unexpected(error.to_string()))?,
            };
            let mut process = Process::new("ssh");
            // It talks to the connection that stands, and no configuration is to add anything to that.
            process.args(["-F", "none", "-O", "forward", "-S"]);
            process
                .arg(&socket)
                .arg("-L")
                .arg(format!("{here}:{target}"));
            process.args(["--", &self.spec.address]);
            let ended = process::run(&mut process, b"", Input::Nothing, FORWARDING, 64 << 10).await;
            match ended {
                Ok(Ended::Done(output)) if output.is_success() => return Ok(here),
                Ok(Ended::Done(output) | Ended::TimedOut(output)) => said = output.last_words(),
                Err(_) => "ssh does not start".clone_into(&mut said),
            }
        }
        Err(unexpected(said))
    }

    /// A wrong password must not be found out by a command with other input.
    async fn try_password(&self) -> Result<(), HostError> {
        if !matches!(self.sudo, Sudo::With(_)) {
            return Ok(());
        }
        let output = self
            .execute(Command::new("become root", ["true"]).as_root())
            .await?;
        if output.is_success() {
            return Ok(());
        }
        let user = self.spec.user_shown();
        let words = output.last_words();
        Err(HostError::NoRoot {
            host: self.spec.name.clone(),
            reason: if words.contains("incorrect password attempt") {
                format!("sudo does not take the password that was given for {user}")
            } else {
                format!("sudo said: {}", words.replace('\n', " "))
            },
            hint: format!("see that the password is right and that {user} may use sudo"),
        })
    }

    /// The socket of a connection that stands; it is made again if it was lost.
    async fn socket(&self) -> Result<std::path::PathBuf, HostError> {
        let mut master = self.master.lock().await;
        if let Some(found) = master.as_mut()
            && found.is_up()
        {
            return Ok(found.socket.clone());
        }
        *master = None;
        let (made, _) = Master::connect(&self.spec, &self.folder, self.trust).await?;
        self.before.fetch_add(1, Ordering::Relaxed);
        Ok(master.insert(made).socket.clone())
    }

    async fn execute(&self, command: Command) -> Result<Output, HostError> {
        let about = command.about().to_owned();
        for _ in 0..REFUSALS {
            if let Some(output) = self.attempt(command.clone()).await? {
                return Ok(output);
            }
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
        Err(HostError::Unexpected {
            host: self.spec.name.clone(),
            about,
            reason: "its sshd allows fewer sessions a connection than shopctl needs; see MaxSessions in its sshd_config"
                .to_owned(),
        })
    }

    /// Runs a command; `None`: it was given no session, and nothing ran.
    async fn attempt(&self, command: Command) -> Result<Option<Output>, HostError> {
        let (argv, before) = if command.is_as_root() {
            self.sudo.wrap(&self.spec.name, command.argv())?
        } else {
            (command.argv().to_vec(), Vec::new())
        };
        let Ok(_session) = self.sessions.acquire().await else {
            return Err(self.lost(command.about(), ""));
        };
        let socket = self.socket().await?;
        let about = command.about().to_owned();
        let (deadline, limit) = command.limits();
        let path = socket.to_string_lossy();
        // Where the connection is gone, ssh would make another one for this command alone.
        let more = [
            "-o",
            "ControlMaster=no",
            "-S",
            &path,
            "-o",
            "ProxyCommand=exit 255",
        ];
        let line = shell_line(&argv);
        let mut process = Process::new("ssh");
        process
            .args(arguments(
                &self.spec,
                &self.folder,
                self.trust,
                &more,
                &line,
            ))
            .env("LC_ALL", "C");
        let input = command.into_input();
        match process::run(&mut process, &before, input, deadline, limit).await {
            Ok(Ended::Done(output)) if output.exit == Exit::Code(SSH_FAILED) => {
                self.told_apart(about, output).await
            }
            Ok(Ended::Done(output)) => Ok(Some(output)),
            Ok(Ended::TimedOut(output)) => Err(HostError::TimedOut {
                host: self.spec.name.clone(),
                about,
                deadline,
                last: output.last_words(),
            }),
            Err(Trouble::Start(source)) => Err(HostError::Program {
                program: "ssh".to_owned(),
                source,
            }),
            Err(Trouble::Input(error)) => Err(HostError::Unexpected {
                host: self.spec.name.clone(),
                about,
                reason: format!("its input could not be read: {error}"),
            }),
        }
    }

    /// Whether a connection was lost or a command ended with the code that ssh uses for that. `None`: it was given no
    /// session.
    async fn told_apart(&self, about: String, output: Output) -> Result<Option<Output>, HostError> {
        let mut words = output.last_words();
        if words.contains("Session open refused by peer") {
            return Ok(None);
        }
        // The session may learn of it before the connection's own process has ended.
        for _ in 0..20 {
            let mut master = self.master.lock().await;
            let Some(found) = master.as_mut() else {
                return Err(self.lost(&about, &words));
            };
            if !found.is_up() {
                words = format!("{} {words}", found.words());
                *master = None;
                return Err(self.lost(&about, &words));
            }
            drop(master);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        if words.contains("UNKNOWN port") || words.contains("mux_client") {
            return Err(self.lost(&about, &words));
        }
        Ok(Some(output))
    }

    fn lost(&self, about: &str, words: &str) -> HostError {
        let said: Vec<&str> = words
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.contains("UNKNOWN port"))
            .collect();
        HostError::Lost {
            host: self.spec.name.clone(),
            about: about.to_owned(),
            reason: said.join(" "),
        }
    }
}

impl Host for SshHost {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn run(&self, command: Command) -> BoxFuture<'_, Result<Output, HostError>> {
        Box::pin(self.execute(command))
    }
}
