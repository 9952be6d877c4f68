//! Accounts: real registrations, logins and a refresh, with real passwords.

use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::session::{Found, Session, expect, identifier, text};
use crate::shop::Request;

const CUSTOMERS: usize = 3;

/// The tokens of a session.
pub(super) struct Login {
    access: String,
    refresh: String,
}

/// Three people register, log in, and are who they are.
pub(super) async fn logins(session: &Session<'_>) -> Found<(String, Vec<Login>)> {
    let mut logins = Vec::with_capacity(CUSTOMERS);
    let tagged = session.customer();
    for number in 1..=CUSTOMERS {
        let email = format!("{}-{number}@smoke.test", session.tag);
        let password = format!("correct horse {}", Uuid::new_v4());
        let account = json!({"email": email, "password": password});
        let register = Request::post("/api/auth/register", account.clone()).token(&tagged);
        let registered = session.expect(StatusCode::CREATED, &register).await?;
        let customer = identifier(&registered, "/customerId")?;
        let wrong = json!({"email": email, "password": "wrong horse"});
        session
            .expect(
                StatusCode::UNAUTHORIZED,
                &Request::post("/api/auth/login", wrong),
            )
            .await?;
        let login = session
            .expect(StatusCode::OK, &Request::post("/api/auth/login", account))
            .await?;
        let login = Login {
            access: text(&login, "/accessToken")?,
            refresh: text(&login, "/refreshToken")?,
        };
        let me = session
            .expect(
                StatusCode::OK,
                &Request::get("/api/auth/me").token(&login.access),
            )
            .await?;
        expect(identifier(&me, "/customerId")? == customer, || {
            format!("{email} is somebody else after the login")
        })?;
        logins.push(login);
    }
    Ok((
        format!("{CUSTOMERS} accounts registered, logged in and recognized"),
        logins,
    ))
}

/// A refresh gives new tokens and spends the old one; a logout ends the session.
pub(super) async fn refresh(session: &Session<'_>, logins: &[Login]) -> Found {
    let [first, second, ..] = logins else {
        return Ok("nobody is logged in".to_owned());
    };
    let with = |token: &str| json!({"refreshToken": token});
    let refreshed = session
        .expect(
            StatusCode::OK,
            &Request::post("/api/auth/refresh", with(&first.refresh)),
        )
        .await?;
    let access = text(&refreshed, "/accessToken")?;
    session
        .expect(StatusCode::OK, &Request::get("/api/auth/me").token(&access))
        .await?;
    let again = Request::post("/api/auth/refresh", with(&first.refresh));
    session.expect(StatusCode::UNAUTHORIZED, &again).await?;
    let logout = Request::post("/api/auth/logout", with(&second.refresh));
    session.expect(StatusCode::NO_CONTENT, &logout).await?;
    let ended = Request::post("/api/auth/refresh", with(&second.refresh));
    session.expect(StatusCode::UNAUTHORIZED, &ended).await?;
    Ok("refreshed once; a spent token and an ended session are refused".to_owned())
}

/// The published keys are those that sign.
pub(super) async fn keys(session: &Session<'_>) -> Found {
    let wanted = session.shop.issuer()?.jwks();
    let answer = session
        .expect(
            StatusCode::OK,
            &Request::get("/api/auth/.well-known/jwks.json"),
        )
        .await?;
    let published: Vec<&str> = answer.body["keys"]
        .as_array()
        .map(|keys| keys.iter().filter_map(|key| key["kid"].as_str()).collect())
        .unwrap_or_default();
    expect(
        wanted
            .keys()
            .iter()
            .all(|key| published.contains(&key.id())),
        || format!("the key that signs is not among the published ones: {published:?}"),
    )?;
    Ok(format!("{} published", published.len()))
}
