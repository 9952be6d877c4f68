//! What a drill writes down of sale locks whose holder hung until somebody else held them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Micros;

/// The sale in which lock holders are made to hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SaleTerms {
    /// The product.
    pub product: Uuid,
    /// How many pieces a customer may have.
    pub limit_per_customer: i64,
    /// How long a lock lives that nobody releases.
    pub lock_micros: Micros,
}

/// What became of the locks of a process that was stopped in the midst of orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaleLocks {
    /// The instance that hung.
    pub instance: String,
    /// How often it was stopped until it held a lock.
    pub tries: u32,
    /// Why there is less to judge than there should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many locks it had found not to be its own any more, as it counts them, before it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_before: Option<u64>,
    /// The same after it had gone on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after: Option<u64>,
    /// The locks.
    pub locks: Vec<StaleLock>,
}

/// One lock: of its holder that hung, then of nobody, then of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaleLock {
    /// Its name in Redis.
    pub key: String,
    /// Whose it is.
    pub customer: Uuid,
    /// The order that was under way: the number of the operation.
    pub operation: u64,
    /// What stood in it while its holder hung. It opens nothing but this lock.
    pub stale_token: String,
    /// When that was seen.
    pub seen_at: Micros,
    /// How long it had to live then.
    pub left_micros: Micros,
    /// When it was seen to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<Micros>,
    /// The same customer's next order, under another key: the number of the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_operation: Option<u64>,
    /// When the new holder had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Micros>,
    /// What the new holder wrote into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_token: Option<String>,
    /// What stood in it from then on: the first look, and each that saw something else than the one before.
    pub looks: Vec<LockLook>,
    /// When it was looked at for the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_until: Option<Micros>,
}

/// What stood in a lock at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockLook {
    /// When.
    pub at: Micros,
    /// What; nothing if there was no lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}
