//! The report of drills: what each run has shown, and what the runs of a scenario have in common.
//!
//! Pure: made from histories and a few facts after a drill, and made again from the same when it is verified.

mod consequences;
mod scenarios;
mod spread;
mod timeline;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use scenarios::ScenarioSummary;
pub use spread::Spread;
pub(super) use spread::median;
pub use timeline::Timeline;
pub use words::{limit, show, words};

use super::history::{Fault, History, Over};
use super::judge::{Judgement, judge};
use crate::environment::Target;
use crate::report::{Hardware, LoadAverages, Reason, SCHEMA_VERSION, Software, Verdict};
use consequences::consequences;
use scenarios::summaries;
use timeline::timeline;

/// What drills have shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillReport {
    /// The version of the report's form.
    pub schema_version: u32,
    /// The kind of report: `drill`.
    pub kind: String,
    /// What is known of where and when, apart from the histories.
    pub origin: DrillFacts,
    /// What it has shown.
    pub verdict: Verdict,
    /// Why it is not a pass: what failed first, then what is not known.
    pub reasons: Vec<Reason>,
    /// Every run, in order.
    pub runs: Vec<DrillRun>,
    /// What the runs of each scenario have in common.
    pub scenarios: Vec<ScenarioSummary>,
}

/// What no history says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillFacts {
    /// The report's name: when it began and what was broken.
    pub id: String,
    /// The environment's name.
    pub environment: String,
    /// Where the shop ran.
    pub target: Target,
    /// The profile's name.
    pub profile: String,
    /// How many users loaded the shop in the background.
    pub vus: u32,
    /// When the first run began.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: OffsetDateTime,
    /// When the last run ended.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub ended_at: OffsetDateTime,
    /// Which runs did not come to their end, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<String>,
    /// The programs.
    pub software: Software,
    /// The machine.
    pub hardware: Hardware,
    /// The SHA-256 of the effective environment, in hexadecimal.
    pub environment_sha256: String,
    /// How busy the machine was.
    pub load_average: LoadAverages,
    /// What each run said besides, in the order of the runs.
    pub notes: Vec<Vec<String>>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillRun {
    /// What was broken.
    pub scenario: String,
    /// Which run of the scenario, from 1.
    pub run: u32,
    /// What moment and victims were drawn from.
    pub seed: u64,
    /// What was expected.
    pub hypothesis: String,
    /// What was done to whom.
    pub faults: Vec<Fault>,
    /// What was seen to come of it, in sentences without their full stops.
    pub consequences: Vec<String>,
    /// What it has shown.
    pub verdict: Verdict,
    /// Every check, objective and figure.
    pub judgement: Judgement,
    /// The run in steps, for its picture.
    pub timeline: Timeline,
    /// The file of the raw history.
    pub history: String,
}

impl DrillReport {
    /// Makes the report of histories; each comes with the name of its file.
    pub fn assemble(origin: DrillFacts, histories: &[(String, History)]) -> Self {
        let runs: Vec<DrillRun> = histories
            .iter()
            .map(|(file, history)| run(file, history))
            .collect();
        let scenarios = summaries(&runs);
        let mut reasons: Vec<Reason> = runs.iter().flat_map(reasons).collect();
        reasons.extend(scenarios.iter().flat_map(scenarios::reasons));
        // What was not looked at follows from it.
        let stopped = origin.stopped.iter().map(|why| Reason {
            verdict: Verdict::Unknown,
            text: why.clone(),
        });
        reasons.splice(0..0, stopped);
        reasons.extend(missing(histories));
        if runs.is_empty() {
            reasons.push(Reason {
                verdict: Verdict::Unknown,
                text: "nothing was broken".to_owned(),
            });
        }
        reasons.sort_by_key(|reason| reason.verdict != Verdict::Fail);
        Self {
            schema_version: SCHEMA_VERSION,
            kind: "drill".to_owned(),
            origin,
            verdict: Verdict::all(reasons.iter().map(|reason| reason.verdict)),
            reasons,
            scenarios,
            runs,
        }
    }
}

fn run(file: &str, history: &History) -> DrillRun {
    let judgement = judge(history);
    DrillRun {
        scenario: history.plan.scenario.clone(),
        run: history.plan.run,
        seed: history.plan.seed,
        hypothesis: history.plan.hypothesis.clone(),
        faults: history.faults.clone(),
        consequences: consequences(history),
        verdict: judgement.verdict,
        judgement,
        timeline: timeline(history),
        history: file.to_owned(),
    }
}

/// Which of the planned drills there is no history of. None is left out of a report because of what it has shown.
fn missing(histories: &[(String, History)]) -> Option<Reason> {
    let planned = histories.iter().map(|(_, history)| history.plan.of).max()?;
    let there: BTreeSet<u32> = histories
        .iter()
        .map(|(_, history)| history.plan.number)
        .collect();
    let missing = (1..=planned)
        .filter(|number| !there.contains(number))
        .count();
    (missing > 0).then(|| Reason {
        verdict: Verdict::Unknown,
        text: format!("{missing} of {planned} planned drills left no history"),
    })
}

/// Why a run is not a pass.
fn reasons(run: &DrillRun) -> Vec<Reason> {
    let name = format!("{} run {}", run.scenario, run.run);
    let judgement = &run.judgement;
    let mut reasons: Vec<Reason> = Vec::new();
    // One thing that nobody saw may leave many claims open.
    let mut open: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for check in &judgement.checks {
        let example = check.examples.first().map_or("", String::as_str);
        match check.verdict {
            Verdict::Pass => {}
            Verdict::Fail => reasons.push(Reason {
                verdict: Verdict::Fail,
                text: format!("{name}: {}: {example}", check.claim),
            }),
            Verdict::Unknown => open.entry(example).or_default().push(&check.claim),
        }
    }
    reasons.extend(open.into_iter().map(|(why, claims)| Reason {
        verdict: Verdict::Unknown,
        text: match claims.as_slice() {
            [claim] => format!("{name}: {claim}: {why}"),
            claims => format!("{name}: {why}, so {} claims are open", claims.len()),
        },
    }));
    for objective in &judgement.objectives {
        if objective.verdict == Verdict::Pass || objective.over == Over::Median {
            continue;
        }
        let measured = objective
            .measured
            .map_or("never came".to_owned(), |measured| {
                format!("was {}", show(objective.figure, measured))
            });
        reasons.push(Reason {
            verdict: objective.verdict,
            text: format!(
                "{name}: {} {measured}, the limit is {}",
                words(objective.figure),
                show(objective.figure, objective.limit)
            ),
        });
    }
    if judgement.recovered == Verdict::Fail {
        reasons.push(Reason {
            verdict: Verdict::Fail,
            text: format!("{name}: the shop was not as before within the time that it had"),
        });
    }
    reasons
}
