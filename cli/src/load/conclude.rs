//! What comes after the load: the books are read, and everything is put together.

use std::time::Duration;

use time::OffsetDateTime;

use super::drive::Ran;
use super::generator::{Expected, SUMMARY};
use super::measure::Gathered;
use super::run::{LoadOutcome, LoadTest, Scene};
use super::script::Script;
use super::stage::Stage;
use super::{books, machine};
use crate::environment::{LoadKind, Target};
use crate::report::{Books, LoadAverages, LoadFacts, Profile};

impl LoadTest<'_> {
    /// Reads the books and puts everything together.
    pub(super) async fn conclude(
        &self,
        ran: Ran,
        stage: &Stage,
        script: &Script,
        scene: &Scene<'_>,
        expected: Expected,
    ) -> LoadOutcome {
        let after = machine::load_average();
        let Ran {
            gathered,
            interrupted,
            mut notes,
        } = ran;
        let books = self.books(stage, &gathered, interrupted, expected).await;
        if gathered.told().unreadable() > 0 {
            notes.push(format!(
                "{} lines of the script begin with `order` and are no orders",
                gathered.told().unreadable()
            ));
        }
        let started = gathered.origin().unwrap_or_default();
        let last = gathered.last();
        let offered = if interrupted || self.plan.script.is_some() {
            Duration::from_millis(last.saturating_sub(started))
        } else {
            self.plan.profile.duration.to_std()
        };
        let (limits, left_out) = self.plan.limits(&self.environment.objectives.load);
        notes.extend(left_out);
        let k6 = scene.tool.version.clone();
        let (software, differs) = match self.environment.target {
            Target::Local => {
                machine::software_of_the_shop(self.catalogue, k6, self.folder.run_dir()).await
            }
            Target::K3s => (machine::software_elsewhere(self.catalogue, k6), None),
        };
        notes.extend(differs);
        let started_at = moment(started);
        let mut samples = gathered.into_samples(offered, f64::from(machine::cores()));
        samples.books = books;
        LoadOutcome {
            facts: LoadFacts {
                id: scene.id.to_owned(),
                environment: self.environment.name.to_string(),
                target: self.environment.target,
                profile: self.profile(script, expected, offered),
                started_at,
                ended_at: moment(last),
                interrupted,
                software,
                hardware: machine::hardware(),
                environment_sha256: machine::environment_sha256(self.environment),
                load_average: LoadAverages {
                    before: scene.before,
                    after,
                },
                limits,
            },
            samples,
            summary: std::fs::read(scene.work.join(SUMMARY)).ok(),
            notes,
        }
    }

    async fn books(
        &self,
        stage: &Stage,
        gathered: &Gathered,
        interrupted: bool,
        expected: Expected,
    ) -> Books {
        if !self.plan.orders() {
            return Books::NotNeeded;
        }
        // Whoever was interrupted in the midst of an order never heard what became of it.
        let unsettled = gathered.told().unsettled()
            + if interrupted {
                u64::from(expected.vus)
            } else {
                0
            };
        let step = "read the books";
        self.observer.started(step);
        let books = books::settled(
            self.auditor,
            &stage.tag,
            &stage.products,
            self.observer,
            step,
        );
        match books.await {
            Ok(books) => {
                self.observer.done(step, false);
                Books::Read {
                    orders: books.orders,
                    products: books.products,
                    unsettled,
                    unsettled_keys: gathered.told().unsettled_keys(),
                }
            }
            Err(error) => {
                let reason = error.to_string();
                self.observer.failed(step, reason.clone());
                Books::Unread { reason }
            }
        }
    }

    fn profile(&self, script: &Script, expected: Expected, offered: Duration) -> Profile {
        let profile = &self.plan.profile;
        let own = self.plan.script.is_some();
        let flash = profile.kind == LoadKind::FlashSale && !own;
        Profile {
            name: self.plan.name.clone(),
            kind: profile.kind,
            vus: expected.vus,
            duration_seconds: if own {
                offered.as_secs_f64()
            } else {
                profile.duration.seconds()
            },
            rate: profile
                .rate
                .filter(|_| profile.kind == LoadKind::Open && !own),
            think_time_milliseconds: if own {
                0
            } else {
                profile.think_time.milliseconds()
            },
            logins_per_second: if self.plan.login_vus() > 0 && !own {
                profile.logins_per_second
            } else {
                0
            },
            stock: flash.then_some(profile.stock),
            script: self
                .plan
                .script
                .as_ref()
                .map(|script| script.display().to_string()),
            script_sha256: Some(script.sha256.clone()),
        }
    }
}

/// A moment, from milliseconds since 1970.
fn moment(milliseconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
