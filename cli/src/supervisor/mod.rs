//! Runs the instances of the local target as processes and keeps them running.
//!
//! One supervisor serves one state folder. It is told what is to run ([`InstanceSpec`]), starts what is missing,
//! restarts what dies and what hangs, replaces what changed one after the other, rotates logs, and answers on a unix
//! socket ([`Client`]). Instances outlive it: when it is killed, or replaced by one of another commit, the next one
//! adopts what lives by its records ([`ProcessRecord`]) and starts nothing twice.
//!
//! | file | holds |
//! |---|---|
//! | `server`, `protocol`, `client`, `launch` | the process, its socket, who talks to it, how it is started |
//! | `core`, `instance`, `rollout` | what is wanted; a task an instance; replacing in turn |
//! | `spawn`, `record`, `identity`, `process`, `lock` | never a process unrecorded, never one twice, never the wrong one |
//! | `probe`, `health`, `backoff` | how a process is, what that means, when to try again |
//! | `desired`, `folder`, `observe` | the state folder, also without a supervisor |
//! | `journal`, `rotation`, `logs` | what the supervisor writes; keeping logs small; reading them |
//!
//! Not here: which components there are, their files and their secrets (the target makes specifications of them), and
//! anything that prints.

mod backoff;
mod client;
mod core;
mod desired;
mod error;
mod folder;
mod health;
mod identity;
mod instance;
mod journal;
mod launch;
mod lock;
mod logs;
mod observe;
mod probe;
mod process;
mod protocol;
mod record;
mod rollout;
mod rotation;
mod server;
mod spawn;
mod spec;
mod status;

pub use client::{Client, WaitError};
pub use error::SupervisorError;
pub use folder::StateFolder;
pub use identity::ProcessIdentity;
pub use launch::{ANSWER_LIMIT, Launched, ensure_running};
pub use logs::{LogReader, LogSource, log_sources};
pub use observe::observe;
pub use record::ProcessRecord;
pub use server::supervise;
pub use spec::{InstanceSpec, ProbeCheck, ProbeSpec, RestartSpec, RunAs, StopSignal, StopSpec};
pub use status::{
    Applied, Exit, InstanceState, InstanceStatus, ProbeOutcome, ProbeReport, Rollout, RolloutState,
    SupervisorStatus,
};
