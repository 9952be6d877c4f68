//! Extractors that say who calls.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use shop_token::{Claims, Role};
use uuid::Uuid;

use super::KeySource;
use crate::problem::Problem;

/// A caller with a good access token, whatever the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The account.
    pub id: Uuid,
    /// What the account may do.
    pub role: Role,
    /// The tag of the test that the account belongs to.
    pub test: Option<String>,
}

/// A caller whose token has the admin role; others get 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The account.
    pub id: Uuid,
    /// The tag of the test that the account belongs to.
    pub test: Option<String>,
}

/// A caller with a good access token, or one without any. A bad token is still 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybeCustomer(pub Option<Customer>);

impl From<&Claims> for Customer {
    fn from(claims: &Claims) -> Self {
        Self {
            id: claims.sub,
            role: claims.role,
            test: claims.test.clone(),
        }
    }
}

impl<S> FromRequestParts<S> for MaybeCustomer
where
    KeySource: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let claims = KeySource::from_ref(state)
            .authenticate(&parts.headers)
            .await?;
        Ok(Self(claims.as_deref().map(Customer::from)))
    }
}

impl<S> FromRequestParts<S> for Customer
where
    KeySource: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let MaybeCustomer(customer) = MaybeCustomer::from_request_parts(parts, state).await?;
        customer.ok_or_else(|| {
            Problem::unauthorized().with_detail("send `Authorization: Bearer TOKEN`")
        })
    }
}

impl<S> FromRequestParts<S> for Admin
where
    KeySource: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Customer { id, role, test } = Customer::from_request_parts(parts, state).await?;
        match role {
            Role::Admin => Ok(Self { id, test }),
            Role::Customer => Err(Problem::forbidden()),
        }
    }
}
