//! What comes before a fault and after it: all has to be well for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::draw::draw;
use super::error::DrillError;
use super::history::{History, Outcome, Phase};
use super::journal::Journal;
use super::progress::Progress;
use super::run::Drill;
use super::scenario;
use super::strike::Breakage;
use crate::event::Event;

/// Users of the background load arrive, connections open, plans are cached: this is not measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// The fault comes at a moment that nobody can expect, this late at most.
const LATEST: u64 = 1_000_000;
/// How often the history is looked at to see whether all is well again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long customers meet a process that has taken the place of one that hung.
const AFTER_RETURN: Duration = Duration::from_secs(5);
/// The largest share of operations that may fail before the fault.
const STEADY_ERRORS: f64 = 0.001;

impl Drill<'_> {
    /// Waits for a while in which all must be well; an error means that it was not.
    pub(super) async fn steady(
        &self,
        journal: &Journal,
        progress: &mut Progress<'_>,
    ) -> Result<(), DrillError> {
        let step = "steady state";
        self.series.observer.started(step);
        self.series.observer.waiting(step, "customers to arrive");
        sleep(WARM_UP).await;
        journal.phase(Phase::Steady);
        let run = (&*scenario::name(self.scenario), self.run);
        let moment = draw(self.series.seed, run, "moment", LATEST);
        let moment = self.series.profile.steady.to_std() + Duration::from_micros(moment);
        let until = Instant::now() + moment;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.series.observer.waiting(
                step,
                format!(
                    "{} without a failure: {}",
                    self.series.profile.steady,
                    progress.in_short()?
                ),
            );
            sleep(left.min(LOOK_EVERY)).await;
        }
        if let Err(reason) = is_steady(progress.history()?) {
            self.series.observer.failed(step, reason.clone());
            return Err(DrillError::NotSteady(reason));
        }
        self.series.observer.done(step, true);
        Ok(())
    }

    /// Lets a fault last, whatever becomes of the shop meanwhile.
    pub(super) async fn outage(
        &self,
        lasts: Duration,
        progress: &mut Progress<'_>,
    ) -> Result<(), DrillError> {
        let step = "outage";
        self.series.observer.started(step);
        let until = Instant::now() + lasts;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let told = format!("{} s to go: {}", left.as_secs(), progress.in_short()?);
            self.series.observer.waiting(step, told);
            sleep(left.min(LOOK_EVERY)).await;
        }
        let again = progress.steady_again()?.map(|after| {
            let seconds = Duration::from_micros(after).as_secs_f64();
            format!("as before since {seconds:.1} s after the fault")
        });
        self.series.observer.observe(Event::StepDone {
            step: step.to_owned(),
            changed: true,
            detail: Some(again.unwrap_or_else(|| "not as before".to_owned())),
        });
        Ok(())
    }

    /// Waits until all has been well for long enough and who hung was replaced, or the time is up.
    pub(super) async fn recovery(
        &self,
        progress: &mut Progress<'_>,
        breakage: &Breakage,
        patience: Duration,
    ) -> Result<(), DrillError> {
        let step = "recovery";
        self.series.observer.started(step);
        let deadline = Instant::now() + patience;
        let stops = breakage.is_broken();
        let mut back_since = None;
        loop {
            sleep(LOOK_EVERY).await;
            let steady = progress.steady_again()?;
            let stays = breakage.is_broken() || breakage.is_ending();
            // Who comes back after a hang is to be met by customers too.
            let back_for = if stays {
                back_since = None;
                Duration::ZERO
            } else {
                back_since.get_or_insert_with(Instant::now).elapsed()
            };
            let met = !stops || back_for >= AFTER_RETURN;
            if let Some(after) = steady.filter(|_| !stays && met) {
                let seconds = Duration::from_micros(after).as_secs_f64();
                self.series.observer.observe(Event::StepDone {
                    step: step.to_owned(),
                    changed: true,
                    detail: Some(format!("as before since {seconds:.1} s after the fault")),
                });
                return Ok(());
            }
            let what = match steady {
                Some(_) if !stays => format!("{} to be met by customers", breakage.names()),
                Some(_) => format!("{} to be replaced", breakage.names()),
                None => "10 good seconds".to_owned(),
            };
            self.series
                .observer
                .waiting(step, format!("{what}: {}", progress.in_short()?));
            if Instant::now() >= deadline {
                let what = match steady {
                    Some(_) => "not replaced after",
                    None => "not as before within",
                };
                self.series
                    .observer
                    .failed(step, format!("{what} {} s", patience.as_secs()));
                return Ok(());
            }
        }
    }
}

/// Whether all was well since the steady part began.
fn is_steady(history: &History) -> Result<(), String> {
    let Some(steady) = history.began(Phase::Steady) else {
        return Err("it never began".to_owned());
    };
    let since: Vec<_> = history
        .operations
        .iter()
        .filter(|operation| operation.began >= steady)
        .collect();
    let bad: Vec<_> = since
        .iter()
        .filter(|operation| operation.outcome != Outcome::Ok)
        .collect();
    if bad.len() as f64 > since.len() as f64 * STEADY_ERRORS {
        let reason = bad
            .iter()
            .find_map(|operation| operation.reason.clone())
            .unwrap_or_default();
        return Err(format!(
            "{} of {} requests failed before anything was broken: {reason}",
            bad.len(),
            since.len()
        ));
    }
    if !since
        .iter()
        .any(|operation| operation.acknowledged().is_some())
    {
        return Err("no order was acknowledged".to_owned());
    }
    Ok(())
}
