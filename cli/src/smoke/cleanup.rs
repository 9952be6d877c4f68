//! Removes what the test made, and what earlier ones left that were killed, and looks into the books whether anything is
//! left.

use std::time::Duration;

use tokio::time::Instant;

use super::session::{Finding, Found, Session, TAG_PREFIX, expect};
use crate::shop::{Request, TestRemains, test_data};

/// How long a service that is away is waited for: one that is just started again is back by then.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// Removes everything with this test's tag, and with the tags of tests that never came to this.
pub(super) async fn remove(session: &Session<'_>) -> Found {
    let deadline = Instant::now() + PATIENCE;
    // A request whose client went away may still be decided after the first removal.
    let remains = loop {
        remove_tag(session, session.admin(), &session.tag, deadline).await?;
        let remains = session.auditor.remains(&session.tag).await?;
        if is_nothing(&remains) || Instant::now() >= deadline {
            break remains;
        }
        tokio::time::sleep(PAUSE).await;
    };
    expect(is_nothing(&remains), || {
        format!("this is left in Postgres: {remains:?}")
    })?;
    let abandoned = session.auditor.abandoned(TAG_PREFIX).await?;
    let caretaker = session.caretaker();
    for tag in &abandoned {
        remove_tag(session, &caretaker, tag, deadline).await?;
    }
    Ok(match abandoned.len() {
        0 => "no account, product or order of the test is left".to_owned(),
        tests => format!("nothing of the test is left, nor of {tests} that were killed before"),
    })
}

fn is_nothing(remains: &TestRemains) -> bool {
    (remains.accounts, remains.products, remains.orders) == (0, 0, 0)
}

async fn remove_tag(session: &Session<'_>, admin: &str, tag: &str, deadline: Instant) -> Found<()> {
    test_data::remove(tag, admin, deadline, async |request: &Request<'_>| {
        session.ask(request).await
    })
    .await
    .map_err(|left| Finding::Wrong(left.to_string()))
}
