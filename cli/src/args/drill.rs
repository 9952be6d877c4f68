//! `shopctl failover-drill` and what it takes.

use std::path::PathBuf;

use clap::Args;

use crate::environment::DrillScenario;

/// Break the shop under load, and prove what held.
#[derive(Clone, Debug, Args)]
pub struct DrillArgs {
    /// What is broken, in turn; `all` is everything. `--list` explains each
    #[arg(value_name = "SCENARIO", value_parser = scenario)]
    pub scenarios: Vec<Scenarios>,
    /// A profile of the environment: scenarios, load and times
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub profile: String,
    /// How often each scenario is run
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: Option<u32>,
    /// What moments and victims are drawn from; the same seed draws the same
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Explain every scenario and its hypothesis, and break nothing
    #[arg(long, conflicts_with_all = ["runs", "seed", "heal", "scenarios"])]
    pub list: bool,
    /// Undo what a drill that was killed may have left, and break nothing
    #[arg(long, conflicts_with_all = ["runs", "seed", "scenarios"])]
    pub heal: bool,
    /// Where reports are kept, in a folder an environment
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports_dir: PathBuf,
    /// The environment's name once more, where its file says `protected: true`
    #[arg(long, value_name = "ENVIRONMENT")]
    pub i_mean: Option<String>,
}

/// One scenario, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenarios {
    /// This one.
    One(DrillScenario),
    /// All of them, in their order.
    All,
}

fn scenario(text: &str) -> Result<Scenarios, String> {
    if text == "all" {
        return Ok(Scenarios::All);
    }
    serde_json::from_value(serde_json::Value::from(text))
        .map(Scenarios::One)
        .map_err(|_| {
            let near = DrillScenario::ALL
                .into_iter()
                .map(crate::drill::scenario::name)
                .max_by(|one, two| {
                    let like = |name: &str| strsim::jaro_winkler(text, name);
                    like(one).total_cmp(&like(two))
                });
            match near {
                Some(near) => format!("there is no such scenario; did you mean `{near}`?"),
                None => "there is no such scenario".to_owned(),
            }
        })
}

pub(super) const DRILL: &str = "\
A drill fixes what it expects, waits until all is well, breaks a process for real, watches the recovery, and reads the
books. Customers of its own write down every request and answer meanwhile. From that history alone it computes whether
anything was sold twice, whether an acknowledged order is missing, and how long what took.

A process that is killed is started again by the supervisor, and one that hangs is replaced, also when this command is
killed in the middle; `up` and --heal let what is still stopped go on. What a drill makes is tagged, hidden from the
catalogue and removed afterwards. Ctrl-C ends it and keeps a report of what was seen; pressed twice it removes nothing.

Exit codes: 0 PASS, 1 FAIL (something that must hold did not, or an objective was missed), 5 UNKNOWN (the fault did not
happen, the load was not offered, or it was interrupted); 2 and 3 as everywhere.

Examples:
  shopctl failover-drill                          kill the Redis master once
  shopctl failover-drill order gateway --runs 5   each five times
  shopctl failover-drill all --seed 7             everything, reproducibly
  shopctl failover-drill --list                   what can be broken, and what is expected then";
