//! The checks in their order.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::report::{Check, FlashSale, Outcome, SmokeReport};
use super::session::{Finding, Found, Session};
use super::{accounts, catalogue, cleanup, echo, flash_sale, orders, routes};
use crate::event::{Event, Observer};
use crate::interrupt::Interrupt;
use crate::shop::{Auditor, Shop, ShopError};

/// How long the test data may take to go after Ctrl-C.
const LEAVING: Duration = Duration::from_secs(10);
/// The check that removes the test data.
pub const CLEAN_UP: &str = "clean-up";
const INTERRUPTED: &str = "stopped by Ctrl-C";

/// Runs the smoke test of an environment's shop. Ctrl-C ends it at once, but for the removal of its data.
pub async fn smoke(
    environment: &str,
    shop: &Shop,
    auditor: &Auditor,
    observer: &dyn Observer,
    interrupt: &Interrupt,
) -> Result<SmokeReport, ShopError> {
    let session = Session::new(shop, auditor)?;
    let mut run = Run {
        observer,
        interrupt,
        closed: None,
        flash_sale: None,
        checks: Vec::new(),
    };
    let started_at = OffsetDateTime::now_utc();
    let began = Instant::now();
    run.all(&session).await;
    Ok(SmokeReport {
        passed: run
            .checks
            .iter()
            .all(|check| check.outcome == Outcome::Passed),
        interrupted: run.closed == Some(INTERRUPTED),
        environment: environment.to_owned(),
        url: shop.url().to_owned(),
        tag: session.tag.clone(),
        started_at,
        milliseconds: milliseconds(began),
        flash_sale: run.flash_sale,
        checks: run.checks,
    })
}

struct Run<'a> {
    observer: &'a dyn Observer,
    interrupt: &'a Interrupt,
    /// Why no further check is tried.
    closed: Option<&'static str>,
    flash_sale: Option<FlashSale>,
    checks: Vec<Check>,
}

impl Run<'_> {
    async fn all(&mut self, session: &Session<'_>) {
        if self
            .check("front door", plain(echo::front_door(session)))
            .await
            .is_none()
        {
            self.close("the front door is closed");
        }
        self.check("echo", plain(echo::echo(session))).await;
        self.check("published keys", plain(accounts::keys(session)))
            .await;
        let logins = self.check("three logins", accounts::logins(session)).await;
        match logins {
            Some(logins) => {
                let refresh = accounts::refresh(session, &logins);
                self.check("refresh and logout", plain(refresh)).await;
            }
            None => self.skip("refresh and logout", "nobody could log in"),
        }
        self.check("catalogue", plain(catalogue::browse(session)))
            .await;
        self.check("administration", plain(catalogue::administer(session)))
            .await;
        self.check("order", plain(orders::order(session))).await;
        self.check("sold out", plain(orders::sold_out(session)))
            .await;
        match self.check("flash sale", flash_sale::sale(session)).await {
            Some((product, sale)) => {
                self.flash_sale = Some(sale);
                self.check("books", plain(flash_sale::books(session, product)))
                    .await;
            }
            None => self.skip("books", "the sale did not end as it must"),
        }
        self.clean_up(session).await;
        self.check("every route", plain(routes::all_asked(session)))
            .await;
    }

    /// Removes the test data, also when Ctrl-C ended the test: then within a time that somebody can wait for.
    async fn clean_up(&mut self, session: &Session<'_>) {
        let name = CLEAN_UP;
        self.check(name, plain(cleanup::remove(session))).await;
        // Behind a closed front door nothing was made.
        if self.closed != Some(INTERRUPTED) {
            return;
        }
        self.checks.retain(|check| check.name != name);
        self.observer.note(format!(
            "Ctrl-C: removes the test data, within {} s; Ctrl-C again leaves them",
            LEAVING.as_secs()
        ));
        let removal = async {
            tokio::time::timeout(LEAVING, plain(cleanup::remove(session)))
                .await
                .unwrap_or_else(|_| {
                    Err(Finding::Wrong(format!(
                        "test data tagged {} may be left: not removed within {} s",
                        session.tag,
                        LEAVING.as_secs()
                    )))
                })
        };
        self.observer.started(name);
        let began = Instant::now();
        let found = removal.await;
        self.conclude(name, began, found);
    }

    /// Runs a check and notes how it ended. Gives what it found for others, if it passed.
    async fn check<T>(
        &mut self,
        name: &str,
        check: impl Future<Output = Found<(String, T)>>,
    ) -> Option<T> {
        if self.interrupt.is_pressed() {
            self.close(INTERRUPTED);
        }
        if let Some(because) = self.closed {
            self.skip(name, because);
            return None;
        }
        self.observer.started(name);
        let began = Instant::now();
        let found = tokio::select! {
            biased;
            () = self.interrupt.pressed() => Err(Finding::Interrupted),
            found = check => found,
        };
        self.conclude(name, began, found)
    }

    fn conclude<T>(&mut self, name: &str, began: Instant, found: Found<(String, T)>) -> Option<T> {
        let (outcome, detail, value) = match found {
            Ok((detail, value)) => (Outcome::Passed, detail, Some(value)),
            Err(Finding::Interrupted) => {
                self.close(INTERRUPTED);
                (Outcome::Skipped, INTERRUPTED.to_owned(), None)
            }
            Err(finding) => (Outcome::Failed, describe(&finding), None),
        };
        self.observer.observe(match outcome {
            Outcome::Failed | Outcome::Skipped => Event::StepFailed {
                step: name.to_owned(),
                reason: detail.clone(),
            },
            Outcome::Passed => Event::StepDone {
                step: name.to_owned(),
                changed: true,
                detail: Some(detail.clone()),
            },
        });
        self.checks.push(Check {
            name: name.to_owned(),
            outcome,
            milliseconds: milliseconds(began),
            detail,
        });
        value
    }

    /// Lets no further check be tried, for the first reason that was given.
    fn close(&mut self, because: &'static str) {
        self.closed.get_or_insert(because);
    }

    /// Notes a check that is not tried. What ended all of them is a better reason than what ended the one before.
    fn skip(&mut self, name: &str, because: &str) {
        self.checks.push(Check {
            name: name.to_owned(),
            outcome: Outcome::Skipped,
            milliseconds: 0,
            detail: self.closed.unwrap_or(because).to_owned(),
        });
    }
}

/// A check that finds nothing that others need.
async fn plain(check: impl Future<Output = Found>) -> Found<(String, ())> {
    check.await.map(|detail| (detail, ()))
}

fn describe(finding: &Finding) -> String {
    use std::error::Error as _;
    let mut text = finding.to_string();
    let mut source = finding.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
