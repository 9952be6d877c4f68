//! The books, once nothing moves in them any more.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::event::Observer;
use crate::shop::{AuditError, Auditor, TestBooks};

/// How long holds may take to drain and orders under way to be decided.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// Reads the books until nothing is held and nothing changes. What still moves at the deadline is given as it is: the
/// report says then that something is held.
pub(super) async fn settled(
    auditor: &Auditor,
    tag: &str,
    products: &[Uuid],
    observer: &dyn Observer,
    step: &str,
) -> Result<TestBooks, AuditError> {
    let deadline = Instant::now() + PATIENCE;
    let mut last: Option<TestBooks> = None;
    loop {
        let read = auditor.test_books(tag, products).await;
        let late = Instant::now() >= deadline;
        match read {
            Ok(books) => {
                if late || (books.held() == 0 && last.as_ref() == Some(&books)) {
                    return Ok(books);
                }
                observer.waiting(
                    step,
                    format!(
                        "nothing to be held and nothing to move ({} held, {} orders)",
                        books.held(),
                        books.orders.len()
                    ),
                );
                last = Some(books);
            }
            // A server that was just started again is back soon.
            Err(error) if late => return Err(error),
            Err(error) => observer.waiting(step, format!("Postgres ({error})")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
