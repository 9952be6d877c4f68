//! Accounts.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shop_common::auth::{Admin, Customer, MaybeCustomer};
use shop_common::extract::{Json, Path};
use shop_common::problem::{Problem, ProblemDocument, Result};
use shop_common::segment::TestTag;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use crate::email::Email;
use crate::password::Password;

/// Who wants an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Registration {
    /// Case and space around it do not matter.
    #[schema(example = "ada@example.org")]
    email: String,
    /// 8 to 200 characters.
    #[schema(min_length = 8, max_length = 200)]
    password: String,
}

/// The account that was made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registered {
    customer_id: Uuid,
    /// The address in the form in which it is kept.
    email: String,
}

/// The account behind an access token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Me {
    customer_id: Uuid,
    email: String,
    /// `customer` or `admin`
    role: &'static str,
    /// The tag of the test that the account belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

/// What was removed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemovedTestData {
    accounts: u64,
}

/// Make an account
///
/// Called with a token that has a `test` claim, it makes an account of that test.
#[utoipa::path(
    post,
    path = "/api/auth/register",
    request_body = Registration,
    responses(
        (status = 201, body = Registered),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "There is an account with this e-mail", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "This e-mail was tried too often", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Too much to do; see `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security((), ("accessToken" = [])),
)]
pub(super) async fn register(
    State(app): State<App>,
    MaybeCustomer(caller): MaybeCustomer,
    Json(Registration { email, password }): Json<Registration>,
) -> Result<(StatusCode, Json<Registered>)> {
    let email = Email::parse(&email).map_err(|error| Problem::validation(error.to_string()))?;
    let password =
        Password::chosen(password).map_err(|error| Problem::validation(error.to_string()))?;
    let test_tag = caller.and_then(|caller| caller.test);
    let customer_id = app
        .auth
        .register(&email, password, test_tag.as_deref())
        .await?;
    let registered = Registered {
        customer_id,
        email: email.as_str().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(registered)))
}

/// Who am I
#[utoipa::path(
    get,
    path = "/api/auth/me",
    responses(
        (status = 200, body = Me),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The token's subject has no account", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("accessToken" = [])),
)]
pub(super) async fn me(State(app): State<App>, caller: Customer) -> Result<Json<Me>> {
    let account = app.auth.account(caller.id).await?;
    Ok(Json(Me {
        customer_id: account.id,
        email: account.email,
        role: account.role.as_str(),
        test: account.test_tag,
        created_at: account.created_at,
    }))
}

/// Remove the accounts of a test
#[utoipa::path(
    delete,
    path = "/api/auth/test-data/{tag}",
    params(("tag" = String, Path, description = "The tag of the test")),
    responses(
        (status = 200, body = RemovedTestData),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "Only for admins", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("accessToken" = [])),
)]
pub(super) async fn remove_test_data(
    State(app): State<App>,
    _caller: Admin,
    Path(tag): Path<TestTag>,
) -> Result<Json<RemovedTestData>> {
    let accounts = app.auth.remove_test_data(tag.as_str()).await?;
    tracing::info!(%tag, accounts, "test data removed");
    Ok(Json(RemovedTestData { accounts }))
}
