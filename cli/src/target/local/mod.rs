//! This machine: instances are processes, their files lie in a state folder, and a supervisor keeps them running.
//!
//! | file | does |
//! |---|---|
//! | `folder`, `user`, `lock` | where everything is, whose it is, and who is at work on it |
//! | `secrets`, `files`, `binary` | what the instances read and run |
//! | `export` | writes what instances would read, for people |
//! | `programs`, `ports`, `preflight` | what the machine has and what it lacks |
//! | `observe`, `up`, `work`, `ready`, `down`, `purge`, `status` | what there is; what makes it what is wanted; what takes it away |
//! | `proof` | what was proved to work, and when |
//! | `fault` | breaks a process on purpose |
//! | `tasks`, `specs` | the commands that run once; instances as the supervisor takes them |

mod binary;
mod down;
mod error;
mod export;
mod fault;
mod files;
mod folder;
mod holders;
mod lock;
mod marker;
mod observe;
mod ports;
mod preflight;
mod programs;
mod proof;
mod purge;
mod ready;
mod run_folder;
mod secrets;
mod specs;
mod status;
mod tasks;
mod up;
mod user;
mod work;

pub use down::down;
pub use error::LocalError;
pub use export::{export, export_files};
pub use fault::{Strike, Struck, Victim, wake};
pub use folder::LocalFolder;
pub use holders::{Occupied, PortUse, occupied};
pub use lock::{LockPatience, WorkLock};
pub use marker::SourceFile;
pub use preflight::{Problem, preflight};
pub use programs::{FoundProgram, WantedVersion, find_program, version_is_at_least};
pub use proof::{RunningDigest, forget_proof, note_proof};
pub use purge::purge;
pub use secrets::{load_secrets, placeholder_secrets};
pub use status::{InstanceRow, ShopStatus, status};
pub use up::{Up, UpOutcome, plan, up};
pub use user::ServerUser;
