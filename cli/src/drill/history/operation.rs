//! What the recorder did as a customer, what it was told, and what Postgres holds of it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Micros;

/// Something that the recorder did as a customer, from the first byte sent to the last one read or given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Counts from 0.
    pub number: u64,
    /// In whose name.
    pub customer: Uuid,
    /// What was asked.
    pub action: Action,
    /// When the first request was sent.
    pub began: Micros,
    /// When the answer that counts had come, or the last try was given up.
    pub ended: Micros,
    /// How many requests it took: a good client repeats a broken keyed request once.
    pub attempts: u32,
    /// What is known of it.
    pub outcome: Outcome,
    /// The last answer's status, if one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there is no good answer: a problem's name, or what broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the answer said about an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

impl Operation {
    /// How long it took.
    pub fn took(&self) -> Micros {
        self.ended.saturating_sub(self.began)
    }

    /// The order that was acknowledged, if it was one.
    pub fn acknowledged(&self) -> Option<&OrderSeen> {
        match (&self.action, self.outcome, &self.told) {
            (Action::Order { .. }, Outcome::Ok, Some(Told::Confirmed(order))) => Some(order),
            _ => None,
        }
    }
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Action {
    /// An order.
    Order {
        /// Its idempotency key.
        key: String,
        /// What is bought.
        product: Uuid,
        /// How many.
        quantity: i32,
    },
    /// An order that was acknowledged before is read.
    Read {
        /// The order.
        order: Uuid,
        /// The key that it was ordered with.
        key: String,
    },
    /// A customer logs in.
    Login,
}

impl Action {
    /// The kind in one word, as figures are kept by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Order { .. } => "order",
            Self::Read { .. } => "read",
            Self::Login => "login",
        }
    }
}

/// What is known of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It was answered as it should be; a "no" that the shop decided is such an answer.
    Ok,
    /// It was answered, and the answer says that nothing was done.
    Fail,
    /// It may or may not have been done.
    Unknown,
}

/// What the shop says about a key or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "decision",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Told {
    /// There is an order, and this is what it says.
    Confirmed(OrderSeen),
    /// The shop said no and keeps to it.
    Refused {
        /// Why: `sold-out`, `limit-reached`.
        verdict: String,
    },
    /// Nothing was decided.
    Absent,
}

/// An order as a customer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderSeen {
    /// The order.
    pub id: Uuid,
    /// What was bought.
    pub product: Uuid,
    /// How many.
    pub quantity: i32,
    /// The price of one, in the currency's smallest unit.
    pub unit_price_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// An order that Postgres holds at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookedOrder {
    /// Whose it is.
    pub customer: Uuid,
    /// The key that it was ordered with.
    pub key: String,
    /// What it says.
    pub order: OrderSeen,
}

/// What became of a key, asked after its deadline: of every one that was left open or refused, and of some others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settlement {
    /// The operation.
    pub operation: u64,
    /// What reading the key said.
    pub by_key: Option<Told>,
    /// What repeating the request said afterwards.
    pub replay: Option<Told>,
}
