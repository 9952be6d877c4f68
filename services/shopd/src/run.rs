//! From arguments to a running service.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use shop_common::causes::Causes;
use shop_common::config::{self, HttpConfig, Instance, LogConfig};
use shop_common::provision::{ProvisionConfig, provision_within};
use shop_common::telemetry;

use crate::args::{Command, ProvisionArgs, ServiceArgs, VERSION};

/// Exit code for a wrong command line or configuration; clap uses the same.
const WRONG_INPUT: u8 = 2;

/// Why the process ends with an error.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration is wrong: nothing has been tried.
    Input(anyhow::Error),
    /// The service or task failed.
    Failed(anyhow::Error),
}

/// What every service's configuration has, whatever else is in it.
trait ServiceConfig: DeserializeOwned {
    /// The service's name in logs and on the command line.
    const SERVICE: &'static str;

    fn common(&self) -> (&Instance, &HttpConfig, &LogConfig);

    /// What the types of the configuration cannot hold.
    fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

macro_rules! service_config {
    ($config:ty, $service:literal $(, $check:item)?) => {
        impl ServiceConfig for $config {
            const SERVICE: &'static str = $service;

            fn common(&self) -> (&Instance, &HttpConfig, &LogConfig) {
                (&self.instance, &self.http, &self.log)
            }

            $($check)?
        }
    };
}

service_config!(shop_auth::Config, "auth");
service_config!(shop_echo::Config, "echo");
service_config!(
    shop_gateway::Config,
    "gateway",
    fn check(&self) -> anyhow::Result<()> {
        Ok(self.validate()?)
    }
);
service_config!(shop_order::Config, "order");
service_config!(shop_product::Config, "product");
service_config!(shop_redis_primary::Config, "redis-primary");

/// Runs a service until it is told to end, or a task until it is done.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Auth(args) => serve(&args, async |config| shop_auth::run(config).await),
        Command::Echo(args) => serve(&args, async |config| shop_echo::run(config).await),
        // Its data path runs on runtimes of its own.
        Command::Gateway(args) => start(&args, |config| {
            shop_gateway::run(config).context("failed to run gateway")
        }),
        Command::Order(args) => serve(&args, async |config| shop_order::run(config).await),
        Command::Product(args) => serve(&args, async |config| shop_product::run(config).await),
        Command::Provision(args) => prepare(&args),
        Command::RedisPrimary(args) => {
            serve(&args, async |config| shop_redis_primary::run(config).await)
        }
    }
}

/// Runs a service on a runtime with the workers of its configuration.
fn serve<C, E>(
    args: &ServiceArgs,
    service: impl AsyncFnOnce(C) -> Result<(), E>,
) -> Result<(), Failure>
where
    C: ServiceConfig,
    E: std::error::Error + Send + Sync + 'static,
{
    start(args, |config: C| {
        let (_, http, _) = config.common();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(http.worker_threads())
            .thread_name(C::SERVICE)
            .enable_all()
            .build()
            .context("failed to start the runtime")?
            .block_on(service(config))
            .with_context(|| format!("failed to run {}", C::SERVICE))
    })
}

/// Reads the configuration and starts logging; what follows is the service's own.
fn start<C: ServiceConfig>(
    args: &ServiceArgs,
    service: impl FnOnce(C) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    let config: C = load(&args.config)?;
    config.check().map_err(Failure::Input)?;
    let (instance, _, log) = config.common();
    telemetry::check(log).map_err(|error| Failure::Input(error.into()))?;
    if args.check_config {
        return say(&format!(
            "{} is good for {}",
            args.config.display(),
            C::SERVICE
        ));
    }
    telemetry::init(log, C::SERVICE, instance).map_err(|error| Failure::Failed(error.into()))?;
    tracing::info!(version = VERSION, pid = std::process::id(), "starting");
    service(config).map_err(|error| {
        // Into the log as well: under a supervisor nobody sees stderr.
        tracing::error!(error = %Causes(&*error), "ending with an error");
        Failure::Failed(error)
    })
}

/// Prepares Postgres and says what it did.
fn prepare(args: &ProvisionArgs) -> Result<(), Failure> {
    let patience = Duration::from_secs(args.wait_seconds);
    let args = &args.service;
    let config: ProvisionConfig = load(&args.config)?;
    if args.check_config {
        return say(&format!("{} is good for provision", args.config.display()));
    }
    let changes = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")
        .and_then(|runtime| Ok(runtime.block_on(provision_within(&config, patience))?))
        .map_err(Failure::Failed)?;
    if changes.is_empty() {
        return say("nothing to do");
    }
    changes
        .iter()
        .try_for_each(|change| say(&format!("done: {change}")))
}

fn load<C: DeserializeOwned>(path: &Path) -> Result<C, Failure> {
    config::load(path).map_err(|error| Failure::Input(error.into()))
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}")
        .context("failed to write to stdout")
        .map_err(Failure::Failed)
}

impl Failure {
    /// Tells the user and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(std::io::stderr(), "error: {self}");
        match self {
            Self::Input(_) => ExitCode::from(WRONG_INPUT),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) | Self::Failed(error) => Causes(&**error).fmt(formatter),
        }
    }
}
