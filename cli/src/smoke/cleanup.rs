//! Removes what the test made, and looks into the books whether anything is left.

use reqwest::{Method, StatusCode};

use super::session::{Found, Session, expect};
use crate::shop::Request;

/// Removes everything with this test's tag. Orders go first: they name products.
pub(super) async fn remove(session: &Session<'_>) -> Found {
    let mut failed = Vec::new();
    for service in ["orders", "products", "auth"] {
        let path = format!("/api/{service}/test-data/{}", session.tag);
        let request = Request::new(Method::DELETE, &path).token(session.admin());
        // What one service keeps is no reason to leave what the others have.
        match session.ask(&request).await {
            Ok(answer) if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND => {}
            Ok(answer) => failed.push(format!("{service}: {}", answer.summary())),
            Err(error) => failed.push(format!("{service}: {error}")),
        }
    }
    expect(failed.is_empty(), || failed.join("; "))?;
    let remains = session.auditor.remains(&session.tag).await?;
    expect(
        (remains.accounts, remains.products, remains.orders) == (0, 0, 0),
        || format!("this is left in Postgres: {remains:?}"),
    )?;
    Ok("no account, product or order of the test is left".to_owned())
}
