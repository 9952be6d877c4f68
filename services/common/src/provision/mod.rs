//! Prepares Postgres for the services: the database, a role and a schema for each, and the accountant's role.
//!
//! Every step looks first and changes only what differs, so a second run changes nothing. Passwords are set as
//! SCRAM verifiers computed here: the password itself is in no statement, and so in no log of the server.
//!
//! Not here: tables. Each service migrates its own schema when it starts.

mod config;
mod run;
mod scram;

pub use config::{AuditorConfig, ProvisionConfig, RoleConfig, SqlName, SuperuserConfig};
pub use run::{ProvisionError, provision, provision_within};
