//! Talks to a supervisor over its control socket. Every call has a deadline.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::SupervisorError;
use super::folder::socket_in;
use super::identity::ProcessIdentity;
use super::protocol::{LINE_MAXIMUM, Request, Response};
use super::spec::InstanceSpec;
use super::status::{Applied, InstanceStatus, RolloutState, SupervisorStatus};

/// Answers that only look, and orders that only begin something.
const QUICK: Duration = Duration::from_secs(10);
/// Orders that wait for processes to end; each process has its own, shorter limit.
const SLOW: Duration = Duration::from_mins(10);
/// How often a waiting client looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

const END_LOOK_EVERY: Duration = Duration::from_millis(2);

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// The process on the other end.
    supervisor: Option<ProcessIdentity>,
}

/// Why instances are not ready in time.
#[derive(Debug)]
pub enum WaitError {
    /// These were not ready when the time was over.
    TimedOut {
        /// How long was waited.
        seconds: u64,
        /// Those that were not ready, as they were seen last.
        instances: Vec<InstanceStatus>,
    },
    /// A replacement stopped half-way.
    RolloutStopped {
        /// The instance that did not become ready.
        instance: String,
        /// Why.
        reason: String,
    },
    /// The supervisor cannot be asked.
    Supervisor(SupervisorError),
}

impl std::fmt::Display for WaitError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TimedOut { seconds, instances } => {
                write!(
                    formatter,
                    "failed to see everything ready within {seconds} s:"
                )?;
                for instance in instances {
                    write!(
                        formatter,
                        " {} ({})",
                        instance.instance,
                        instance.last_word()
                    )?;
                }
                Ok(())
            }
            Self::RolloutStopped { instance, reason } => {
                write!(formatter, "failed to replace {instance}: {reason}")
            }
            Self::Supervisor(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for WaitError {}

impl From<SupervisorError> for WaitError {
    fn from(error: SupervisorError) -> Self {
        Self::Supervisor(error)
    }
}

impl Client {
    /// Connects to the supervisor that listens in a run folder.
    pub async fn connect(run_dir: &Path) -> Result<Self, SupervisorError> {
        let path = socket_in(run_dir)?;
        let stream = UnixStream::connect(&path)
            .await
            .map_err(|source| SupervisorError::Unreachable { path, source })?;
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let supervisor = pid.and_then(ProcessIdentity::of);
        let (reader, writer) = stream.into_split();
        Ok(Self {
            reader: BufReader::new(reader),
            writer,
            supervisor,
        })
    }

    /// The process on the other end.
    pub fn supervisor(&self) -> Option<&ProcessIdentity> {
        self.supervisor.as_ref()
    }

    /// The supervisor and its instances at this moment.
    pub async fn status(&mut self) -> Result<SupervisorStatus, SupervisorError> {
        self.status_within(QUICK).await
    }

    /// The same, of a supervisor that may hang.
    pub async fn status_within(
        &mut self,
        limit: Duration,
    ) -> Result<SupervisorStatus, SupervisorError> {
        match self.call(&Request::Status, limit).await? {
            Response::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes these specifications the wanted ones and returns at once: new ones are started, changed ones replaced one
    /// after the other, the same ones left untouched. With `stop_missing` the list is complete: what it does not name
    /// is stopped and forgotten. [`Client::wait_ready`] waits for the outcome.
    pub async fn apply(
        &mut self,
        specs: &[InstanceSpec],
        stop_missing: bool,
    ) -> Result<Applied, SupervisorError> {
        let specs = specs.to_vec();
        match self
            .call(
                &Request::Apply {
                    specs,
                    stop_missing,
                },
                QUICK,
            )
            .await?
        {
            Response::Applied(applied) => Ok(applied),
            other => Err(unexpected(&other)),
        }
    }

    /// Stops instances, all at once, and returns when they have ended. They stay stopped until applied or started.
    pub async fn stop(&mut self, names: &[String]) -> Result<(), SupervisorError> {
        let names = names.to_vec();
        self.order(&Request::Stop { names }, SLOW).await
    }

    /// Starts stopped instances as they were and returns at once.
    pub async fn start(&mut self, names: &[String]) -> Result<(), SupervisorError> {
        let names = names.to_vec();
        self.order(&Request::Start { names }, QUICK).await
    }

    /// Replaces one instance's process and returns when the new one has been started.
    pub async fn restart(&mut self, name: &str) -> Result<(), SupervisorError> {
        let name = name.to_owned();
        self.order(&Request::Restart { name }, SLOW).await
    }

    /// Ends the supervisor and returns when it is gone. Without `stop_instances` they live on, for the next supervisor
    /// to adopt; with it they are stopped first, component by component against the order in which they were given.
    pub async fn shutdown(mut self, stop_instances: bool) -> Result<(), SupervisorError> {
        let request = Request::Shutdown { stop_instances };
        let limit = if stop_instances { SLOW } else { QUICK };
        self.order(&request, limit).await?;
        let gone = async {
            let mut rest = Vec::new();
            let _ = self.reader.read_to_end(&mut rest).await;
            // The connection closes a moment before the process ends and with it gives up its lock.
            while self
                .supervisor
                .as_ref()
                .is_some_and(ProcessIdentity::is_alive)
            {
                tokio::time::sleep(END_LOOK_EVERY).await;
            }
        };
        timeout(QUICK, gone)
            .await
            .map_err(|_| late(&request, QUICK))
    }

    /// Waits until these instances are ready and nothing is being replaced. Shows each look to `progress`.
    pub async fn wait_ready(
        &mut self,
        names: &[String],
        limit: Duration,
        mut progress: impl FnMut(&SupervisorStatus),
    ) -> Result<SupervisorStatus, WaitError> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.status().await?;
            progress(&status);
            let mut replacing = false;
            if let Some(rollout) = &status.rollout {
                if rollout.state == RolloutState::Stopped {
                    return Err(WaitError::RolloutStopped {
                        instance: rollout.instance.clone(),
                        reason: rollout.reason.clone().unwrap_or_default(),
                    });
                }
                replacing = true;
            }
            let watched = status
                .instances
                .iter()
                .filter(|instance| names.contains(&instance.instance));
            let late: Vec<InstanceStatus> = watched
                .clone()
                .filter(|instance| !instance.ready)
                .cloned()
                .collect();
            let missing = names.len().saturating_sub(watched.count());
            if late.is_empty() && missing == 0 && !replacing {
                return Ok(status);
            }
            if timeout_at(deadline, tokio::time::sleep(LOOK_EVERY))
                .await
                .is_err()
            {
                let seconds = limit.as_secs();
                return Err(WaitError::TimedOut {
                    seconds,
                    instances: late,
                });
            }
        }
    }

    async fn order(&mut self, request: &Request, limit: Duration) -> Result<(), SupervisorError> {
        match self.call(request, limit).await? {
            Response::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn call(
        &mut self,
        request: &Request,
        limit: Duration,
    ) -> Result<Response, SupervisorError> {
        let exchange = async {
            let mut text = serde_json::to_vec(request)?;
            text.push(b'\n');
            self.writer.write_all(&text).await?;
            let mut line = String::new();
            (&mut self.reader)
                .take(LINE_MAXIMUM)
                .read_line(&mut line)
                .await?;
            Ok::<_, std::io::Error>(line)
        };
        let line = timeout(limit, exchange)
            .await
            .map_err(|_| late(request, limit))?
            .map_err(|error| SupervisorError::Protocol(format!("the connection broke: {error}")))?;
        if line.is_empty() {
            return Err(SupervisorError::Protocol(
                "it closed the connection without an answer".to_owned(),
            ));
        }
        match serde_json::from_str(&line) {
            Ok(Response::Refused { message, hint }) => {
                Err(SupervisorError::Refused { message, hint })
            }
            Ok(response) => Ok(response),
            Err(error) => Err(SupervisorError::Protocol(error.to_string())),
        }
    }
}

fn late(request: &Request, limit: Duration) -> SupervisorError {
    SupervisorError::TimedOut {
        request: request.name(),
        seconds: limit.as_secs(),
    }
}

fn unexpected(response: &Response) -> SupervisorError {
    let kind = match response {
        Response::Status(_) => "a status",
        Response::Applied(_) => "what was applied",
        Response::Done => "only that it is done",
        Response::Refused { .. } => "a refusal",
    };
    SupervisorError::Protocol(format!("it sent {kind}, which was not asked for"))
}
