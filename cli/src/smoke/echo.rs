//! The front door and the echo behind it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::session::{Found, Session, expect, text};
use crate::shop::Request;

/// The front door says where it leads, and nowhere else.
pub(super) async fn front_door(session: &Session<'_>) -> Found {
    let index = session.expect(StatusCode::OK, &Request::get("/")).await?;
    let routes = index.body["routes"].as_array().map_or(0, Vec::len);
    expect(routes > 0, || format!("it lists no routes: {}", index.body))?;
    session
        .expect(StatusCode::NOT_FOUND, &Request::get("/api/nowhere"))
        .await?;
    let inside = Request::post("/internal/holds", json!({"items": []}));
    session.expect(StatusCode::NOT_FOUND, &inside).await?;
    let forged = Request::get("/api/orders").token("not.a.token");
    session.expect(StatusCode::UNAUTHORIZED, &forged).await?;
    Ok(format!(
        "{routes} prefixes; unknown paths, the internal API and a forged token are refused"
    ))
}

/// The echo returns what it was asked, with what the gateway made of it.
pub(super) async fn echo(session: &Session<'_>) -> Found {
    let answer = session
        .expect(StatusCode::OK, &Request::get("/api/echo?from=smoke"))
        .await?;
    let query = text(&answer, "/query")?;
    expect(query == "from=smoke", || {
        format!("the query came back as `{query}`")
    })?;
    expect(answer.headers.contains_key("x-request-id"), || {
        "the answer has no x-request-id".to_owned()
    })?;
    let token = session.customer();
    let posted = Request::new(Method::POST, "/api/echo/below")
        .token(&token)
        .body(json!({"hello": "shop"}));
    let answer = session.expect(StatusCode::OK, &posted).await?;
    let body = text(&answer, "/body")?;
    expect(body == r#"{"hello":"shop"}"#, || {
        format!("the body came back as `{body}`")
    })?;
    expect(!answer.body.to_string().contains(&token), || {
        "the access token was not masked".to_owned()
    })?;
    session
        .expect(StatusCode::NO_CONTENT, &Request::get("/api/echo/null"))
        .await?;
    Ok("query, body and request id came back, the token did not".to_owned())
}
