//! `shopctl secrets` and what it takes.

use clap::{Args, Subcommand};

/// What to do with secrets.
#[derive(Clone, Debug, Subcommand)]
pub enum SecretsCommand {
    /// The secrets that there are, never their values: who declares and mounts each, and since when it is there
    #[command(after_help = LIST)]
    List,
    /// Put new ones in the place of secrets, while the shop serves
    #[command(after_help = ROTATE)]
    Rotate(RotateArgs),
}

/// Put new ones in the place of secrets.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Clone, Debug, Args)]
pub struct RotateArgs {
    /// The secrets; none: go on with what stands unfinished
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Every secret that there is
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Wait until what was made with a former one has expired, and take that one away
    #[arg(long)]
    pub wait: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Leave out the smoke test at the end
    #[arg(long)]
    pub no_smoke: bool,
    /// When another `up`, `down` or `smoke` is at work: fail at once, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,
    /// The environment's name once more, where its file says `protected: true`
    #[arg(long, value_name = "ENVIRONMENT")]
    pub i_mean: Option<String>,
}

const LIST: &str = "\
Examples:
  shopctl secrets list -e production
  shopctl secrets list -e production -o json | jq -r '.[] | select(.made < \"2026-01-01\").name'";

const ROTATE: &str = "\
A new secret is laid beside the former one, whoever has to accept it learns both, everybody changes over, and the former
one is taken away: three rounds in which pods are made anew, one after the other, while the shop serves. The former key
of access tokens is accepted until the last token of it has expired; then `shopctl secrets rotate` takes it away, or
`--wait` does.

A rotation that was broken off is a shop that works with two secrets. `shopctl plan` says so, and `shopctl secrets
rotate` goes on with it.

Examples:
  shopctl secrets rotate postgres-order -e production       the password of one role
  shopctl secrets rotate --all --yes -e production          every secret, for scripts
  shopctl secrets rotate auth-signing-key --wait -e staging and wait until the former key is gone
  shopctl secrets rotate -e production                      go on with what stands unfinished";
