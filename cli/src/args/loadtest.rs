//! `shopctl loadtest` and what it takes.

use std::path::PathBuf;

use clap::Args;

use crate::value::Duration;

/// Load the shop.
#[derive(Clone, Debug, Args)]
pub struct LoadtestArgs {
    /// What the load is like: browse, flash-sale, soak, open, null, or one of the environment's own
    #[arg(long, value_name = "NAME", default_value = "browse")]
    pub profile: String,
    /// How many users there are at once
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub vus: Option<u32>,
    /// How long it lasts, as in 30s, 5m or 1h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Rounds a second that begin however slow the answers are; for profiles of kind `open`
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// A k6 script of your own, in place of the profile's
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Where reports are kept, in a folder an environment
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports_dir: PathBuf,
    /// The environment's name once more, where its file says `protected: true`
    #[arg(long, value_name = "ENVIRONMENT")]
    pub i_mean: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse().map_err(|error: crate::value::DurationError| {
        format!("{error}; write it as in 30s, 5m or 1h")
    })
}

pub(super) const LOADTEST: &str = "\
k6 loads the shop, and afterwards Postgres is asked whether every confirmed order is there, once, and whether the
stock adds up. A wrong count fails the test, whatever the latencies are.

What it makes is tagged, hidden from the catalogue and removed afterwards. Ctrl-C stops k6 and still writes the report.

Exit codes: 0 PASS, 1 FAIL (an objective was missed, or a count is wrong), 5 UNKNOWN (interrupted, or the load was not
really offered: dropped rounds, or a generator without processor time); 2 and 3 as everywhere.

Profiles:
  browse       users who look around, order now and then, and think in between
  flash-sale   everybody wants one of a few pieces at the same moment
  soak         as browse, for long
  open         as browse, but rounds begin at a constant rate however slow the answers are
  null         users who ask for nothing: what of a latency is k6's and this machine's own

A script of your own finds the shop in __ENV.SHOP_URL, and in the file of __ENV.SHOP_DATA (JSON) the `tokens` of its
customers, one a user, the `products` that they may order, and `accounts` to log in with. For each order it should
write console.log(`order ${Date.now()} ${key} 201 ${productId} ${quantity} ${orderId}`), or the status alone in place
of 201 and without the id; then the books are compared with that.

Examples:
  shopctl loadtest --vus 1000                     a thousand users for a minute
  shopctl loadtest --profile flash-sale           a storm on a hundred pieces
  shopctl loadtest --profile open --rate 1500     1500 rounds a second
  shopctl loadtest --duration 10s -o json | jq .verdict";
