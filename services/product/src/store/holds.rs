//! Holds, in batches with a verdict an item.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Store;

/// What to hold, and for whom.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct HoldRequest {
    /// Names the hold, 1 to 128 visible ASCII characters: the same request told twice holds once.
    pub(crate) key: String,
    /// What to hold.
    pub(crate) product_id: Uuid,
    /// For whom.
    pub(crate) customer_id: Uuid,
    /// How many.
    #[schema(minimum = 1)]
    pub(crate) quantity: i32,
    /// For how long, at most a day.
    #[schema(minimum = 1, maximum = 86400)]
    pub(crate) ttl_seconds: i32,
    /// The test run that the customer belongs to.
    #[serde(default)]
    pub(crate) test: Option<String>,
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HoldVerdict {
    /// The request's key.
    pub(crate) key: String,
    /// What was decided.
    pub(crate) verdict: Verdict,
    /// When the hold ends, if it is held.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) expires_at: Option<OffsetDateTime>,
}

/// What became of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyVerdict {
    /// The key.
    pub(crate) key: String,
    /// How the hold stands now.
    pub(crate) verdict: Verdict,
}

/// How a hold stands, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Kept until it expires.
    Held,
    /// Sold.
    Confirmed,
    /// Given back by its holder.
    Released,
    /// Given back because nobody confirmed it in time.
    Expired,
    /// Less is free than was asked for.
    SoldOut,
    /// The customer has as much as the sale allows.
    LimitReached,
    /// The key belongs to another request.
    Conflict,
    /// There is no such product, or no such hold.
    NotFound,
}

impl Verdict {
    fn parse(text: &str) -> sqlx::Result<Self> {
        Ok(match text {
            "held" => Self::Held,
            "confirmed" => Self::Confirmed,
            "released" => Self::Released,
            "expired" => Self::Expired,
            "sold_out" => Self::SoldOut,
            "limit_reached" => Self::LimitReached,
            "conflict" => Self::Conflict,
            "not_found" => Self::NotFound,
            other => return Err(unknown_verdict(other)),
        })
    }

    /// The verdict as metrics name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::SoldOut => "sold_out",
            Self::LimitReached => "limit_reached",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
        }
    }
}

/// A database that is newer than this process may say what it does not know.
pub(super) fn unknown_verdict(text: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("unknown verdict `{text}`").into())
}

impl Store {
    /// Holds stock; the verdicts come in the order of the requests.
    pub(crate) async fn hold(&self, requests: &[HoldRequest]) -> sqlx::Result<Vec<HoldVerdict>> {
        let keys: Vec<String> = requests.iter().map(|request| request.key.clone()).collect();
        let products: Vec<Uuid> = requests.iter().map(|request| request.product_id).collect();
        let customers: Vec<Uuid> = requests.iter().map(|request| request.customer_id).collect();
        let quantities: Vec<i32> = requests.iter().map(|request| request.quantity).collect();
        let lifetimes: Vec<i32> = requests.iter().map(|request| request.ttl_seconds).collect();
        let tags: Vec<Option<String>> = requests
            .iter()
            .map(|request| request.test.clone())
            .collect();
        let rows = sqlx::query!(
            r#"SELECT verdict AS "verdict!", expires_at
            FROM product.hold_stock($1, $2, $3, $4, $5, $6) ORDER BY ord"#,
            &keys,
            &products,
            &customers,
            &quantities,
            &lifetimes,
            &tags as &[Option<String>]
        )
        .fetch_all(&self.pool)
        .await?;
        keys.into_iter()
            .zip(rows)
            .map(|(key, row)| {
                let verdict = Verdict::parse(&row.verdict)?;
                Ok(HoldVerdict {
                    key,
                    verdict,
                    expires_at: row.expires_at,
                })
            })
            .collect()
    }

    /// Sells what is held; the verdicts come in the order of the keys.
    pub(crate) async fn confirm(&self, keys: Vec<String>) -> sqlx::Result<Vec<KeyVerdict>> {
        let verdicts = sqlx::query_scalar!(
            r#"SELECT verdict AS "verdict!" FROM product.confirm_holds($1) ORDER BY ord"#,
            &keys
        )
        .fetch_all(&self.pool)
        .await?;
        key_verdicts(keys, &verdicts)
    }

    /// Gives back what is held; the verdicts come in the order of the keys.
    pub(crate) async fn release(&self, keys: Vec<String>) -> sqlx::Result<Vec<KeyVerdict>> {
        let verdicts = sqlx::query_scalar!(
            r#"SELECT verdict AS "verdict!" FROM product.release_holds($1) ORDER BY ord"#,
            &keys
        )
        .fetch_all(&self.pool)
        .await?;
        key_verdicts(keys, &verdicts)
    }
}

fn key_verdicts(keys: Vec<String>, verdicts: &[String]) -> sqlx::Result<Vec<KeyVerdict>> {
    keys.into_iter()
        .zip(verdicts)
        .map(|(key, verdict)| {
            Ok(KeyVerdict {
                key,
                verdict: Verdict::parse(verdict)?,
            })
        })
        .collect()
}
