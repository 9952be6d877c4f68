//! What the checks share: the shop, the tokens, the tag, and a list of what was asked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use shop_token::{Issuer, Role};
use uuid::Uuid;

use crate::shop::{Answer, Auditor, Request, Shop, ShopError};

/// What the tags of all smoke tests begin with.
pub(super) const TAG_PREFIX: &str = "smoke-";
/// Longer than any smoke test.
const TOKEN_LIFETIME: Duration = Duration::from_mins(10);

/// What a check found wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Finding {
    /// Something is not as it must be.
    #[error("{0}")]
    Wrong(String),
    /// Ctrl-C ended the check.
    #[error("stopped by Ctrl-C")]
    Interrupted,
    /// The shop did not answer.
    #[error(transparent)]
    Shop(#[from] ShopError),
    /// The books could not be read.
    #[error(transparent)]
    Audit(#[from] crate::shop::AuditError),
}

/// What a check found: a few words if all was well.
pub(super) type Found<T = String> = Result<T, Finding>;

/// Fails unless something holds.
pub(super) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Found<()> {
    if holds {
        Ok(())
    } else {
        Err(Finding::Wrong(otherwise()))
    }
}

/// A smoke test that goes on.
pub(super) struct Session<'a> {
    pub shop: &'a Shop,
    pub auditor: &'a Auditor,
    pub tag: String,
    issuer: Issuer,
    admin: String,
    asked: Mutex<Vec<(Method, String)>>,
}

impl<'a> Session<'a> {
    pub(super) fn new(shop: &'a Shop, auditor: &'a Auditor) -> Result<Self, ShopError> {
        let tag = format!("{TAG_PREFIX}{}", Uuid::now_v7().simple());
        let issuer = shop.issuer()?;
        let admin = issuer.issue(Uuid::now_v7(), Role::Admin, TOKEN_LIFETIME, Some(&tag));
        Ok(Self {
            shop,
            auditor,
            tag,
            issuer,
            admin,
            asked: Mutex::default(),
        })
    }

    /// The token of an administrator who makes test data.
    pub(super) fn admin(&self) -> &str {
        &self.admin
    }

    /// The token of an administrator who belongs to no test.
    pub(super) fn caretaker(&self) -> String {
        self.issuer
            .issue(Uuid::now_v7(), Role::Admin, TOKEN_LIFETIME, None)
    }

    /// The token of a customer of this test.
    pub(super) fn customer(&self) -> String {
        self.issuer.issue(
            Uuid::now_v7(),
            Role::Customer,
            TOKEN_LIFETIME,
            Some(&self.tag),
        )
    }

    /// Asks, whatever comes.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Found<Answer> {
        let path = request
            .path()
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((request.method().clone(), path));
        Ok(self.shop.ask(request).await?)
    }

    /// Asks, and fails unless the answer has this status.
    pub(super) async fn expect(&self, status: StatusCode, request: &Request<'_>) -> Found<Answer> {
        let answer = self.ask(request).await?;
        expect(answer.status == status, || {
            format!(
                "{} {} was answered with {} instead of {}",
                request.method(),
                request.path(),
                answer.summary(),
                status.as_u16()
            )
        })?;
        Ok(answer)
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<(Method, String)> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A text in an answer.
pub(super) fn text(answer: &Answer, pointer: &str) -> Found<String> {
    answer
        .body
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(ToOwned::to_owned)
        .ok_or_else(|| {
            Finding::Wrong(format!(
                "the answer has no text at {pointer}: {}",
                answer.body
            ))
        })
}

/// An identifier in an answer.
pub(super) fn identifier(answer: &Answer, pointer: &str) -> Found<Uuid> {
    let text = text(answer, pointer)?;
    text.parse()
        .map_err(|_| Finding::Wrong(format!("{pointer} is `{text}`, which is no UUID")))
}
