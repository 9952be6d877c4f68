//! The checks in their order.

use time::OffsetDateTime;
use tokio::time::Instant;

use super::report::{Check, Outcome, SmokeReport};
use super::session::{Finding, Found, Session};
use super::{accounts, catalogue, cleanup, echo, flash_sale, orders, routes};
use crate::event::{Event, Observer};
use crate::shop::{Auditor, Shop, ShopError};

/// Runs the smoke test of an environment's shop.
pub async fn smoke(
    environment: &str,
    shop: &Shop,
    auditor: &Auditor,
    observer: &dyn Observer,
) -> Result<SmokeReport, ShopError> {
    let session = Session::new(shop, auditor)?;
    let mut run = Run {
        observer,
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
        environment: environment.to_owned(),
        url: shop.url().to_owned(),
        tag: session.tag.clone(),
        started_at,
        milliseconds: milliseconds(began),
        checks: run.checks,
    })
}

struct Run<'a> {
    observer: &'a dyn Observer,
    checks: Vec<Check>,
}

impl Run<'_> {
    async fn all(&mut self, session: &Session<'_>) {
        if self
            .check("front door", plain(echo::front_door(session)))
            .await
            .is_none()
        {
            // Nothing else could be asked, and nothing was made.
            self.skip(
                &["echo", "catalogue", "orders", "flash sale", "books"],
                "the front door is closed",
            );
            return;
        }
        self.check("echo", plain(echo::echo(session))).await;
        self.check("published keys", plain(accounts::keys(session)))
            .await;
        match self.check("three logins", accounts::logins(session)).await {
            Some(logins) => {
                self.check(
                    "refresh and logout",
                    plain(accounts::refresh(session, &logins)),
                )
                .await;
            }
            None => self.skip(&["refresh and logout"], "nobody could log in"),
        }
        self.check("catalogue", plain(catalogue::browse(session)))
            .await;
        self.check("administration", plain(catalogue::administer(session)))
            .await;
        self.check("order", plain(orders::order(session))).await;
        self.check("sold out", plain(orders::sold_out(session)))
            .await;
        match self.check("flash sale", flash_sale::sale(session)).await {
            Some(product) => {
                self.check("books", plain(flash_sale::books(session, product)))
                    .await;
            }
            None => self.skip(&["books"], "the sale did not end as it must"),
        }
        self.check("clean-up", plain(cleanup::remove(session)))
            .await;
        self.check("every route", plain(routes::all_asked(session)))
            .await;
    }

    /// Runs a check and notes how it ended. Gives what it found for others, if it passed.
    async fn check<T>(
        &mut self,
        name: &str,
        check: impl Future<Output = Found<(String, T)>>,
    ) -> Option<T> {
        self.observer.started(name);
        let began = Instant::now();
        let found = check.await;
        let (outcome, detail, value) = match found {
            Ok((detail, value)) => (Outcome::Passed, detail, Some(value)),
            Err(finding) => (Outcome::Failed, describe(&finding), None),
        };
        self.observer.observe(match outcome {
            Outcome::Failed => Event::StepFailed {
                step: name.to_owned(),
                reason: detail.clone(),
            },
            Outcome::Passed | Outcome::Skipped => Event::StepDone {
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

    fn skip(&mut self, names: &[&str], because: &str) {
        self.checks.extend(names.iter().map(|name| Check {
            name: (*name).to_owned(),
            outcome: Outcome::Skipped,
            milliseconds: 0,
            detail: because.to_owned(),
        }));
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
