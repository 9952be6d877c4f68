//! The system's `ssh`: its configuration, agents, jump hosts and hardware keys work as the user knows them.
//!
//! One connection a host is held open by a child process whose standard input is a pipe of ours: when shopctl ends,
//! however it ends, the pipe closes and the connection with it. Commands are sessions in that connection.

mod folder;
mod host;
mod keys;
mod master;
mod options;
mod trouble;

pub use folder::SshFolder;
pub use host::SshHost;
