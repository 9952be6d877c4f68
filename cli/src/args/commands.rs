//! The commands and what each takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use clap_complete::Shell;

use super::drill::{DRILL, DrillArgs};
use super::image::ImageCommand;
use super::loadtest::{LOADTEST, LoadtestArgs};
use super::report::ReportArgs;
use super::secrets::SecretsCommand;

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Bring the shop up, or to what the environment file says now
    #[command(after_help = UP)]
    Up(UpArgs),
    /// Show what `up` would do, and do nothing
    #[command(after_help = PLAN)]
    Plan,
    /// Stop the shop; data and secrets are kept
    #[command(after_help = DOWN)]
    Down(DownArgs),
    /// Show what runs, and how well
    #[command(after_help = STATUS)]
    Status(StatusArgs),
    /// Show what the shop's processes write
    #[command(after_help = LOGS)]
    Logs(LogsArgs),
    /// Prove that the shop works: every route, real logins and a flash sale
    #[command(after_help = SMOKE)]
    Smoke(SmokeArgs),
    /// Load the shop with k6, and prove from Postgres that nothing was lost or sold twice
    #[command(after_help = LOADTEST)]
    Loadtest(LoadtestArgs),
    /// Break the shop under load, and prove from a recorded history what held
    #[command(after_help = DRILL)]
    FailoverDrill(DrillArgs),
    /// Secrets of a shop on a cluster: list, rotate
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Reports of load tests and drills: list, show, compare, verify, publish
    Report(ReportArgs),
    /// Show what `up` would use, without secrets: configuration files, or the objects of a cluster
    #[command(after_help = RENDER)]
    Render(RenderArgs),
    /// Images: pack programs and root file systems, without Docker
    #[command(subcommand)]
    Image(ImageCommand),
    /// Find out what this machine lacks, and install it
    #[command(after_help = DOCTOR)]
    Doctor(DoctorArgs),
    /// Environments: list, show, validate, new, and their schema
    #[command(subcommand)]
    Env(EnvCommand),
    /// Print a script that completes commands in a shell
    #[command(after_help = COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Keep the instances of a state folder running
    #[command(hide = true)]
    Supervise(SuperviseArgs),
}

/// Bring the shop up.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// When another `up`, `down` or `smoke` is at work: fail at once, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,
    /// Leave out the smoke test at the end
    #[arg(long)]
    pub no_smoke: bool,
    /// On a cluster: remove what the environment does not want any more without asking
    #[arg(short, long)]
    pub yes: bool,
    /// On a cluster: take back fields that somebody else set to something else
    #[arg(long)]
    pub force_conflicts: bool,
}

const PLAN: &str = "\
Examples:
  shopctl plan                    what `shopctl up` would do on this machine
  shopctl plan -e single-node     hosts and objects of a cluster, and every field that would change
  shopctl plan -o json | jq '.objects.changes[] | select(.deed != \"keep\")'
Exit code 0: there is nothing to do; 4: there is.";

/// Show what runs.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// On a cluster: where the time of the last run went
    #[arg(long)]
    pub timings: bool,
}

const UP: &str = "\
Examples:
  shopctl up                      the shop on this machine, as environments/local.yaml says
  shopctl up -e my-shop.yaml      as another file says: a shop `my-shop` with a state folder of its own
  shopctl up                      again: changes only what differs, which is nothing
Ctrl-C ends it cleanly, and the next `up` goes on; a second Ctrl-C ends it where it is.";

/// Stop the shop.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Clone, Debug, Args)]
pub struct DownArgs {
    /// Also delete its data and secrets: asks first
    #[arg(long)]
    pub purge: bool,
    /// Also remove k3s from its hosts, with all data and secrets: asks first
    #[arg(long)]
    pub cluster: bool,
    /// The environment's name once more, to delete the data of one whose file says `protected: true`
    #[arg(long, value_name = "ENVIRONMENT")]
    pub i_mean: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// When another `up`, `down` or `smoke` is at work: fail at once, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,
}

const DOWN: &str = "\
Examples:
  shopctl down                    stop everything; `shopctl up` goes on with the same data
  shopctl down --purge            and delete data and secrets, after asking
  shopctl down --purge --yes      without asking, for scripts";

const STATUS: &str = "\
Examples:
  shopctl status                  a table of all instances
  shopctl status -o json | jq '.instances[] | select(.state != \"running\")'";

/// Show what processes write.
#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// Components or instances, as in `order` or `redis-1`; none: all
    #[arg(value_name = "COMPONENT")]
    pub components: Vec<String>,
    /// Go on with what they write from now on
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the last lines of each instance
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100, value_parser = whole_number)]
    pub lines: usize,
}

fn whole_number(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "it must be a whole number")
}

const LOGS: &str = "\
Examples:
  shopctl logs                    the last lines of everything
  shopctl logs order -f           what both order processes write, as they write it
  shopctl logs redis-0 -n 1000    more of one instance
On a terminal the services' JSON lines are told in a few words; elsewhere every line is as it was written.";

/// Prove that the shop works.
#[derive(Clone, Debug, Args)]
pub struct SmokeArgs {
    /// When an `up`, a `down` or another `smoke` is at work: fail at once, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,
}

const SMOKE: &str = "\
What it makes is tagged, hidden from the catalogue and removed afterwards, also after Ctrl-C.

Examples:
  shopctl smoke                   a table of checks; exit code 1 when one failed
  shopctl smoke -o json | jq .passed";

/// Show what `up` would use.
#[derive(Clone, Debug, Args)]
pub struct RenderArgs {
    /// The folder to write to: a new or an empty one, or one that `render` wrote; objects are printed without it
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,
    /// The full name of the services' image, for the objects of a cluster
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
}

const RENDER: &str = "\
Examples:
  shopctl render --out-dir out
  shopctl render --out-dir out -e my-shop.yaml && git diff --no-index before out
  shopctl render -e single-node                         the objects of a cluster, in the order in which they are applied
  shopctl render -e single-node -o json | jq '.items[] | select(.kind == \"Deployment\")'";

/// Find out what this machine lacks.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Install what is missing: says what it is about to run, and asks
    #[arg(long)]
    pub install: bool,
    /// Do not ask
    #[arg(short, long, requires = "install")]
    pub yes: bool,
}

const DOCTOR: &str = "\
Examples:
  shopctl doctor                  what is missing and what installs it; exit code 3 if anything is
  shopctl doctor --install        run these commands, after asking
  shopctl doctor -o json | jq '.checks[] | select(.outcome != \"ok\")'";

/// What to do with environments.
#[derive(Clone, Debug, Subcommand)]
pub enum EnvCommand {
    /// The environments that there are, and where each comes from
    List,
    /// An environment with all its defaults filled in
    #[command(after_help = ENV_SHOW)]
    Show(EnvShowArgs),
    /// Check environment files: all problems at once, nothing is touched
    #[command(after_help = ENV_VALIDATE)]
    Validate(EnvValidateArgs),
    /// Write a small environment file for a shop on hosts of yours; never overwrites
    #[command(after_help = ENV_NEW)]
    New(EnvNewArgs),
    /// Print the JSON Schema of environment files, for editors
    #[command(after_help = ENV_SCHEMA)]
    Schema,
}

/// An environment with all its defaults filled in.
#[derive(Clone, Debug, Args)]
pub struct EnvShowArgs {
    /// The environment; the same as -e
    #[arg(value_name = "NAME|PATH")]
    pub wanted: Option<String>,
    /// Mark each value that the file sets itself with the line where it does
    #[arg(long)]
    pub origin: bool,
}

const ENV_SHOW: &str = "\
Examples:
  shopctl env show                the default environment, complete
  shopctl env show --origin       with a comment where a value comes from the file
  shopctl env show -o json | jq .components.redis";

/// Write a small environment file.
#[derive(Clone, Debug, Args)]
pub struct EnvNewArgs {
    /// The environment's name: the file is environments/NAME.yaml
    #[arg(value_name = "NAME")]
    pub name: String,
    /// A host that runs the cluster's brain, and pods as well: `local` is this machine
    #[arg(long = "server", value_name = "USER@HOST[:PORT]", required = true)]
    pub servers: Vec<String>,
    /// A host that runs pods
    #[arg(long = "agent", value_name = "USER@HOST[:PORT]")]
    pub agents: Vec<String>,
}

const ENV_NEW: &str = "\
Examples:
  shopctl env new production --server root@192.0.2.10
  shopctl env new production --server deploy@node-1 --agent deploy@node-2 --agent deploy@node-3
  shopctl env new here --server local";

/// Check environment files.
#[derive(Clone, Debug, Args)]
pub struct EnvValidateArgs {
    /// Files or names; none: the environment of -e
    #[arg(value_name = "NAME|PATH")]
    pub environments: Vec<String>,
}

const ENV_VALIDATE: &str = "\
Examples:
  shopctl env validate my-shop.yaml
  shopctl env validate environments/*.yaml";

const ENV_SCHEMA: &str = "\
Examples:
  shopctl env schema > environments/environment.schema.json
and in the first line of an environment file, for editors:
  # yaml-language-server: $schema=environment.schema.json";

/// Print a completion script.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

const COMPLETIONS: &str = "\
Examples:
  shopctl completions bash > ~/.local/share/bash-completion/completions/shopctl
  shopctl completions zsh > ~/.zfunc/_shopctl
  shopctl completions fish > ~/.config/fish/completions/shopctl.fish";

/// Keep the instances of a state folder running. The folder is the global `--state-dir`.
#[derive(Clone, Debug, Args)]
pub struct SuperviseArgs {
    /// The folder of the control socket
    #[arg(long, value_name = "DIR")]
    pub run_dir: PathBuf,
}
