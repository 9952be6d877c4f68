//! Several drills in turn, and the report of all of them.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;

use super::error::DrillError;
use super::ground::Ground;
use super::history::History;
use super::ready::until_whole;
use super::report::{DrillFacts, DrillReport};
use super::run::Drill;
use super::scenario;
use crate::catalogue::Catalogue;
use crate::environment::{DrillProfile, Environment};
use crate::event::Observer;
use crate::interrupt::Interrupt;
use crate::load::{WayIn, find_k6, machine};
use crate::report::{Draft, LoadAverages};
use crate::shop::{Auditor, RedisAccess, Shop};
use crate::target::local::LocalFolder;

/// How hard histories are compressed: they are small, and kept for long.
const COMPRESSION: i32 = 19;

/// After so many drills in a row that did not come to their end, the next one will not either.
const MOST_IN_A_ROW: u32 = 3;

/// Drills of a profile, one after the other.
pub struct DrillSeries<'a> {
    /// The environment.
    pub environment: &'a Environment,
    /// The components, for the background load.
    pub catalogue: &'a Catalogue,
    /// Where the shop's state is.
    pub folder: &'a LocalFolder,
    /// Where the drills take place.
    pub ground: Arc<dyn Ground>,
    /// The shop.
    pub shop: &'a Shop,
    /// How the load in the background finds it.
    pub way: WayIn<'a>,
    /// Its books.
    pub auditor: &'a Auditor,
    /// Its Redis.
    pub redis: &'a RedisAccess,
    /// The profile's name.
    pub profile_name: &'a str,
    /// What is broken, how often, under how much load.
    pub profile: &'a DrillProfile,
    /// What moments and victims are drawn from.
    pub seed: u64,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

/// What drills brought.
pub struct DrillOutcome {
    /// The report.
    pub report: DrillReport,
    /// What a person should know besides.
    pub notes: Vec<String>,
}

impl DrillSeries<'_> {
    /// Whether all is well enough to break something: what a drill before has broken is given time to recover.
    pub async fn check(&self) -> Result<(), DrillError> {
        if self.profile.vus > 0 {
            find_k6(self.catalogue).map_err(DrillError::Load)?;
        }
        until_whole(&*self.ground, self.redis, self.observer, self.interrupt).await
    }

    /// Runs them all. Histories go into the report's folder. What stops the series is told in the report.
    pub async fn run(&self, draft: &Draft) -> Result<DrillOutcome, DrillError> {
        let before = machine::load_average();
        let started_at = OffsetDateTime::now_utc();
        let mut histories = Vec::new();
        let mut notes = Vec::new();
        let mut stopped = Vec::new();
        let mut in_a_row = 0;
        let mut number = 0;
        let scenarios = u32::try_from(self.profile.scenarios.len()).unwrap_or(u32::MAX);
        let all = scenarios.saturating_mul(self.profile.runs);
        'all: for scenario in &self.profile.scenarios {
            for run in 1..=self.profile.runs {
                number += 1;
                self.observer.note(format!(
                    "{}, run {run} of {}: drill {number} of {all}",
                    scenario::name(*scenario),
                    self.profile.runs
                ));
                let name = match all {
                    1 => "timeline.jsonl".to_owned(),
                    _ => format!(
                        "timeline-{number:03}-{}-{run}.jsonl",
                        scenario::name(*scenario)
                    ),
                };
                let raw = draft.path().join(&name);
                let drill = Drill {
                    series: self,
                    scenario: *scenario,
                    run,
                    number,
                    of: all,
                };
                let outcome = match File::create_new(&raw) {
                    Ok(file) => drill.run(file).await,
                    Err(error) => Err(DrillError::file("write", &raw)(error)),
                };
                // What was seen until then is kept, however it ended.
                let kept = keep(draft, &name, &raw).map(|history| {
                    let history = history.map(|history| (format!("{name}.zst"), history));
                    if history.is_some() {
                        notes.push(outcome.as_ref().map(Clone::clone).unwrap_or_default());
                    }
                    histories.extend(history);
                });
                match outcome.and(kept) {
                    Ok(()) => in_a_row = 0,
                    Err(error) => {
                        in_a_row += 1;
                        stopped.push(format!("{} run {run}: {error}", scenario::name(*scenario)));
                        let is_over = error.ends_a_series() || in_a_row == MOST_IN_A_ROW;
                        if histories.is_empty() && (is_over || number == all) {
                            return Err(error);
                        }
                        if is_over {
                            break 'all;
                        }
                    }
                }
            }
        }
        let k6 = (self.profile.vus > 0)
            .then(|| machine::k6(self.catalogue))
            .flatten();
        let (software, differs) = self.ground.software(k6).await;
        let facts = DrillFacts {
            id: draft.id().to_owned(),
            environment: self.environment.name.to_string(),
            target: self.environment.target,
            profile: self.profile_name.to_owned(),
            vus: self.profile.vus,
            started_at,
            ended_at: OffsetDateTime::now_utc(),
            stopped,
            software,
            hardware: machine::hardware(),
            environment_sha256: machine::environment_sha256(self.environment),
            load_average: LoadAverages {
                before,
                after: machine::load_average(),
            },
            notes: notes.clone(),
        };
        Ok(DrillOutcome {
            report: DrillReport::assemble(facts, &histories),
            notes: notes.into_iter().flatten().chain(differs).collect(),
        })
    }
}

/// Compresses a history in the report's folder, and reads it back as it will be read when the report is verified. None
/// if nothing stands in it.
fn keep(draft: &Draft, name: &str, raw: &Path) -> Result<Option<History>, DrillError> {
    let text = fs::read(raw).map_err(DrillError::file("read", raw))?;
    let kept = if text.is_empty() {
        None
    } else {
        let packed = zstd::encode_all(text.as_slice(), COMPRESSION)
            .map_err(DrillError::file("compress", raw))?;
        draft
            .write(&format!("{name}.zst"), &packed)
            .map_err(|error| DrillError::History(error.to_string()))?;
        Some(unpack(&packed)?)
    };
    fs::remove_file(raw).map_err(DrillError::file("remove", raw))?;
    Ok(kept)
}

/// Reads a history as it stands in a report's folder.
pub fn unpack(packed: &[u8]) -> Result<History, DrillError> {
    let broken = |error: io::Error| DrillError::History(error.to_string());
    let text = zstd::decode_all(packed).map_err(broken)?;
    let text = String::from_utf8(text).map_err(|error| broken(io::Error::other(error)))?;
    Ok(History::parse(&text)?)
}
