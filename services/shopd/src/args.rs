//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Version and commit, as `shopctl --version` shows them.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("SHOPCTL_COMMIT"), ")");

/// The shop's services, one a process.
///
/// Logs go to stdout, a JSON object a line. SIGTERM and SIGINT drain the service and end it.
#[derive(Debug, Parser)]
#[command(name = "shopd", version = VERSION, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Accounts, logins, rotating refresh tokens, published keys
    Auth(ServiceArgs),
    /// Returns what it got, and nothing at all for measuring
    Echo(ServiceArgs),
    /// Takes every request of the shop and passes it on
    Gateway(ServiceArgs),
    /// Places orders, each in one transaction with its stock
    Order(ServiceArgs),
    /// Catalogue, stock, sales, and stock that is held for a while
    Product(ServiceArgs),
    /// Makes database, roles and schemas in Postgres; changes nothing when run again
    Provision(ProvisionArgs),
    /// Leads connections to the Redis that is the master
    RedisPrimary(ServiceArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServiceArgs {
    /// The TOML file that says where to listen and what to use
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Read the file, say whether it is good, and end
    #[arg(long)]
    pub(crate) check_config: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ProvisionArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// How long to try while Postgres cannot be reached yet
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) wait_seconds: u64,
}
