//! The time in which k6 runs: what it writes is gathered, the shop's processes are looked at, a person is told.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior};

use super::ending::Ending;
use super::error::LoadError;
use super::generator::Start;
use super::measure::{Gathered, Watched};
use super::plan::GRACE;
use super::run::LoadTest;
use super::stage::Stage;
use crate::environment::LoadKind;
use crate::event::Event;
use crate::shop::StockWatch;
use crate::target::local::status;

/// How often processes are looked at and a tick is told.
const TICK: Duration = Duration::from_secs(1);
/// How long k6 may take until its users begin, and for what a script does before and after them: a minute each.
const START_PATIENCE: Duration = Duration::from_mins(3);
/// How long k6 may take to end after it was asked to, or after its time.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// A look at the shop that takes longer is given up: the next one comes soon.
const LOOK_PATIENCE: Duration = Duration::from_millis(500);

/// What came out of the time in which k6 ran.
pub(super) struct Ran {
    /// What was measured.
    pub(super) gathered: Gathered,
    /// Whether it was ended before its time.
    pub(super) interrupted: bool,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

impl LoadTest<'_> {
    /// Runs k6 and watches.
    pub(super) async fn load(
        &self,
        start: &Start<'_>,
        stage: &Stage,
        lasts: Duration,
    ) -> Result<Ran, LoadError> {
        let mut gathered = Gathered::default();
        let mut stock = StockWatch::default();
        let mut notes = Vec::new();
        let mut stops = 0;
        let mut generator = start.start()?;
        let pid = generator.process.pid();
        let mut watched = self.watched().await.unwrap_or_default();
        gathered.look(&watched, pid, Duration::ZERO, now());
        let mut last_look = Instant::now();
        let mut tick = tokio::time::interval_at(last_look + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut begun = false;
        let patience = lasts + GRACE + END_PATIENCE;
        let mut deadline = Instant::now() + START_PATIENCE + patience;
        let ended = loop {
            tokio::select! {
                lines = generator.measurements.next() => {
                    gathered.measurements(&lines.unwrap_or_default());
                }
                lines = generator.console.next() => {
                    self.pass_on(gathered.console(&lines.unwrap_or_default()));
                }
                ended = generator.process.ended() => break ended,
                () = self.interrupt.pressed(), if stops == 0 => {
                    stops = 1;
                    gathered.stopping(now());
                    generator.process.stop();
                    deadline = Instant::now() + END_PATIENCE;
                    self.observer.note("k6 is asked to stop; the report is still written");
                }
                () = self.interrupt.insisted(), if stops == 1 => {
                    stops = 2;
                    generator.process.kill();
                }
                _ = tick.tick() => {
                    let took = last_look.elapsed();
                    last_look = Instant::now();
                    // What was used since the last look belongs to the middle of that time.
                    let moment = now().saturating_sub(milliseconds(took) / 2);
                    let cpu = gathered.look(&watched, pid, took, moment);
                    let left = self.stock_left(&mut stock, stage).await;
                    if let Some(left) = left {
                        gathered.stock_left(moment, left);
                    }
                    let mut seen = gathered.tick(took, now());
                    (seen.total, seen.cpu, seen.stock_left) = (lasts, cpu, left);
                    // What our own scripts do before their users begin is done by now.
                    if !begun && stops == 0 && gathered.origin().is_some() && self.plan.script.is_none() {
                        begun = true;
                        deadline = Instant::now() + patience;
                    }
                    if gathered.origin().is_some() {
                        self.observer.observe(Event::LoadTicked(seen));
                    }
                    if let Some(now) = self.watched().await {
                        watched = now;
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    notes.push("k6 did not end in time and was killed".to_owned());
                    stops = 2;
                    gathered.stopping(now());
                    generator.process.kill();
                    deadline = Instant::now() + END_PATIENCE;
                }
            }
        };
        gathered.measurements(&generator.measurements.rest());
        self.pass_on(gathered.console(&generator.console.rest()));
        self.observer.observe(Event::LoadEnded);
        let said = generator.process.said().lines();
        let ending = Ending::of(ended);
        if gathered.origin().is_none() {
            return Err(match ending {
                _ if stops > 0 && self.interrupt.is_pressed() => LoadError::Interrupted,
                Ending::Refused => LoadError::Refused {
                    script: start.script.to_owned(),
                    said,
                },
                ending => LoadError::NothingAsked {
                    ended: ending.to_string(),
                    said,
                },
            });
        }
        notes.extend(said.into_iter().map(|line| format!("k6: {line}")));
        if let Ending::Thresholds = ending {
            gathered.check("the thresholds of the script", false);
        } else if !ending.is_regular() && stops == 0 {
            notes.push(format!("k6 ended with {ending}"));
            stops = 2;
        }
        Ok(Ran {
            gathered,
            interrupted: stops > 0,
            notes,
        })
    }

    fn pass_on(&self, talk: Vec<String>) {
        for line in talk {
            self.observer.note(line);
        }
    }

    /// The processes of the shop; `None`: they could not be asked for in time.
    async fn watched(&self) -> Option<Vec<Watched>> {
        let status = tokio::time::timeout(LOOK_PATIENCE, status(self.folder, |_| false))
            .await
            .ok()?
            .ok()?;
        let watched = status.instances.into_iter().filter_map(|row| {
            Some(Watched {
                component: row.component,
                instance: row.instance,
                pid: row.pid?,
            })
        });
        Some(watched.collect())
    }

    /// How many pieces of a flash sale are left; of other loads nobody wants to know.
    async fn stock_left(&self, stock: &mut StockWatch, stage: &Stage) -> Option<u64> {
        if self.plan.script.is_some() || self.plan.profile.kind != LoadKind::FlashSale {
            return None;
        }
        tokio::time::timeout(LOOK_PATIENCE, stock.free(self.auditor, &stage.products))
            .await
            .ok()?
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Now, in milliseconds since 1970.
fn now() -> u64 {
    let nanoseconds = OffsetDateTime::now_utc().unix_timestamp_nanos();
    u64::try_from(nanoseconds / 1_000_000).unwrap_or(0)
}
