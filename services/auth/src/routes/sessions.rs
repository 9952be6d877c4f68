//! Sessions: beginning, going on, ending.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use shop_common::extract::Json;
use shop_common::problem::{Problem, ProblemDocument, Result};
use utoipa::ToSchema;

use super::App;
use crate::email::Email;
use crate::password::Password;
use crate::service::Tokens;

/// Who wants to log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Login {
    #[schema(example = "ada@example.org")]
    email: String,
    password: String,
}

/// The token of a session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RefreshRequest {
    refresh_token: String,
}

/// A session's tokens.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenAnswer {
    /// A JWT, for `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// For how many seconds the access token is good.
    expires_in: u64,
    /// Good for one use, at `/api/auth/refresh`.
    refresh_token: String,
    /// For how many seconds the refresh token is good.
    refresh_expires_in: u64,
}

/// Tokens belong into no cache (RFC 6749, 5.1).
type TokenResponse = ([(HeaderName, &'static str); 1], Json<TokenAnswer>);

/// Log in
#[utoipa::path(
    post,
    path = "/api/auth/login",
    request_body = Login,
    responses(
        (status = 200, body = TokenAnswer),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "The e-mail or the password is wrong", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "This e-mail was tried too often", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Too much to do; see `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn login(
    State(app): State<App>,
    Json(Login { email, password }): Json<Login>,
) -> Result<TokenResponse> {
    let email = Email::parse(&email).map_err(|error| Problem::validation(error.to_string()))?;
    let tokens = app.auth.login(&email, Password::tried(password)).await?;
    Ok(answer(tokens))
}

/// Exchange a refresh token for new tokens
///
/// A refresh token is good once. If it is used again, somebody else has it, and the session ends.
#[utoipa::path(
    post,
    path = "/api/auth/refresh",
    request_body = RefreshRequest,
    responses(
        (status = 200, body = TokenAnswer),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "The refresh token is not good any more", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn refresh(
    State(app): State<App>,
    Json(RefreshRequest { refresh_token }): Json<RefreshRequest>,
) -> Result<TokenResponse> {
    app.auth.refresh(&refresh_token).await.map(answer)
}

/// Log out
///
/// Ends the session. Access tokens that it gave out stay good until they expire.
#[utoipa::path(
    post,
    path = "/api/auth/logout",
    request_body = RefreshRequest,
    responses(
        (status = 204, description = "There is no such session any more"),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn logout(
    State(app): State<App>,
    Json(RefreshRequest { refresh_token }): Json<RefreshRequest>,
) -> Result<StatusCode> {
    app.auth.logout(&refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn answer(tokens: Tokens) -> TokenResponse {
    let answer = TokenAnswer {
        access_token: tokens.access_token,
        token_type: "Bearer",
        expires_in: tokens.access_token_lifetime.as_secs(),
        refresh_token: tokens.refresh_token.to_text(),
        refresh_expires_in: tokens.refresh_token_lifetime.as_secs(),
    };
    ([(CACHE_CONTROL, "no-store")], Json(answer))
}
