//! One process's probe: keeps what is worth keeping between two questions and bounds each in time.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::exec;
use super::http::HttpProbe;
use super::postgres::PostgresProbe;
use super::redis::RedisProbe;
use crate::supervisor::health::Answer;
use crate::supervisor::spec::{InstanceSpec, ProbeCheck, ProbeSpec};

/// A time-out that fires so much too late says more about this machine, or about us, than about the process.
const OWN_LATENESS: Duration = Duration::from_millis(500);

/// The probe of one process.
pub(in crate::supervisor) struct Prober {
    spec: ProbeSpec,
    kind: Kind,
}

enum Kind {
    Http(HttpProbe),
    Tcp(String),
    Redis(RedisProbe),
    Postgres(PostgresProbe),
    Exec(Box<InstanceSpec>, Vec<String>),
}

impl Prober {
    /// The probe of an instance, if it has one.
    pub(in crate::supervisor) fn new(instance: &InstanceSpec) -> Option<Self> {
        let spec = instance.probe.clone()?;
        let kind = match &spec.check {
            ProbeCheck::Http { address, path } => Kind::Http(HttpProbe::new(address, path)),
            ProbeCheck::Tcp { address } => Kind::Tcp(address.clone()),
            ProbeCheck::Redis {
                address,
                user,
                password_file,
            } => Kind::Redis(RedisProbe::new(
                address,
                user.as_deref(),
                password_file.as_deref(),
            )),
            ProbeCheck::Postgres {
                host,
                port,
                database,
                user,
                password_file,
            } => Kind::Postgres(PostgresProbe::new(
                host,
                *port,
                database,
                user,
                password_file.as_deref(),
            )),
            ProbeCheck::Exec { command } => Kind::Exec(Box::new(instance.clone()), command.clone()),
        };
        Some(Self { spec, kind })
    }

    /// What was asked for.
    pub(in crate::supervisor) fn spec(&self) -> &ProbeSpec {
        &self.spec
    }

    /// Asks once. None when the answer would be unfair: it did not come in time, but we did not look in time either.
    pub(in crate::supervisor) async fn ask(&mut self) -> Option<Answer> {
        let limit = self.spec.timeout();
        let begun = Instant::now();
        if let Ok(answer) = timeout(limit, self.kind.ask()).await {
            return Some(answer);
        }
        self.kind.forget();
        if begun.elapsed() > limit + OWN_LATENESS {
            return None;
        }
        Some(Answer::Silent {
            detail: format!("no answer within {} ms", limit.as_millis()),
        })
    }
}

impl Kind {
    async fn ask(&mut self) -> Answer {
        match self {
            Self::Http(probe) => probe.ask().await,
            Self::Tcp(address) => ask_tcp(address).await,
            Self::Redis(probe) => probe.ask().await,
            Self::Postgres(probe) => probe.ask().await,
            Self::Exec(instance, command) => exec::ask(instance, command).await,
        }
    }

    /// Drops a connection in the middle of an answer.
    fn forget(&mut self) {
        match self {
            Self::Http(probe) => probe.forget(),
            Self::Redis(probe) => probe.forget(),
            Self::Tcp(_) | Self::Postgres(_) | Self::Exec(..) => {}
        }
    }
}

async fn ask_tcp(address: &str) -> Answer {
    match TcpStream::connect(address).await {
        Ok(_) => Answer::Ready {
            role: None,
            detail: None,
        },
        Err(error) => Answer::Silent {
            detail: format!("failed to connect to {address}: {error}"),
        },
    }
}
