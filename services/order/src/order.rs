//! What an order is: the request, the key it comes with, and what can become of it.
//!
//! Not here: how it is decided (`decide`), and how it looks over HTTP (`http`).

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use shop_common::segment::is_segment;
use time::OffsetDateTime;
use uuid::Uuid;

/// The longest idempotency key, as the table has it.
pub const LONGEST_KEY: usize = 128;

/// A client's name for one order: 1 to 128 visible ASCII characters, unique among that customer's.
///
/// It is also a segment of the path `/api/orders/by-key/{key}`: it holds no slash and no backslash, and is not `.` or
/// `..`. The tables hold the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// Why a text is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an idempotency key has 1 to {LONGEST_KEY} visible ASCII characters, no slash or backslash, and is not `.` or `..`"
)]
pub struct MalformedKey;

impl IdempotencyKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key that Postgres has: it was checked when it came, and whether it would be taken today matters to nobody.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// A digest for places where the key itself is too long or nobody's business.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl FromStr for IdempotencyKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        if is_segment(text, LONGEST_KEY) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedKey)
        }
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An order that a customer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRequest {
    /// The order's id if it is confirmed, the refusal's if it is refused. Made before deciding, so that an
    /// attempt repeated after a lost connection recognizes its own decision.
    pub decision_id: Uuid,
    /// Who orders.
    pub customer_id: Uuid,
    /// The customer's name for this order.
    pub key: IdempotencyKey,
    /// What is ordered.
    pub product_id: Uuid,
    /// How many pieces.
    pub quantity: i32,
    /// The test that the customer belongs to.
    pub tag: Option<String>,
}

impl OrderRequest {
    /// A digest of what the client asked for: the same key with another digest is a mistake of the client's.
    /// Taken from the meaning and not from the bytes, so white space and the order of members do not matter.
    pub fn body_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.product_id.as_bytes());
        hash.update(self.quantity.to_be_bytes());
        hash.finalize().into()
    }
}

/// A confirmed order, as Postgres has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The order's id (`UUIDv7`).
    pub id: Uuid,
    /// The customer's name for this order.
    pub key: IdempotencyKey,
    /// What was ordered.
    pub product_id: Uuid,
    /// How many pieces.
    pub quantity: i32,
    /// The price of one piece when the order was decided, in the currency's minor unit.
    pub unit_price_minor: i64,
    /// ISO 4217 code of the price's currency.
    pub currency: String,
    /// When the order was decided, by the database's clock.
    pub created_at: OffsetDateTime,
}

/// Why an order is refused for good: the answer is stored and repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// Less was free than asked, at its turn.
    SoldOut,
    /// The customer would have more than the sale allows.
    LimitReached,
}

/// A stored "no".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// What was asked for.
    pub product_id: Uuid,
    /// How many pieces were asked for.
    pub quantity: i32,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed, with its stock.
    Confirmed(Order),
    /// It is refused, and that is stored.
    Refused(Refusal),
    /// There is no such product for this customer. Nothing is stored: the key stays free, so that a client
    /// who corrects the product may keep it, and random ids fill no table.
    NotFound,
    /// The key came with another body before.
    KeyReused,
}

/// An outcome, and whether an earlier request with the same key brought it about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What became of the request.
    pub outcome: Outcome,
    /// Whether it was decided before.
    pub replayed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_128_visible_ascii_characters() {
        let longest = "k".repeat(LONGEST_KEY);
        for good in ["a", "~!", "...", "a.b", longest.as_str()] {
            assert_eq!(good.parse::<IdempotencyKey>().unwrap().as_str(), good);
        }
        let longer = "k".repeat(LONGEST_KEY + 1);
        for bad in ["", " ", "a b", "ä", "a\n", "\u{7f}", longer.as_str()] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(MalformedKey), "{bad:?}");
        }
    }

    #[test]
    fn a_key_can_stand_in_a_path() {
        for bad in ["a/b", "/", "a\\b", ".", ".."] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(MalformedKey), "{bad:?}");
        }
    }

    #[test]
    fn the_body_hash_covers_product_and_quantity_and_nothing_else() {
        let request = OrderRequest {
            decision_id: Uuid::now_v7(),
            customer_id: Uuid::now_v7(),
            key: "a".parse().unwrap(),
            product_id: Uuid::now_v7(),
            quantity: 1,
            tag: None,
        };
        let again = OrderRequest {
            decision_id: Uuid::now_v7(),
            customer_id: Uuid::now_v7(),
            key: "b".parse().unwrap(),
            tag: Some("t".to_owned()),
            ..request.clone()
        };
        assert_eq!(again.body_hash(), request.body_hash());
        for other in [
            OrderRequest {
                quantity: 2,
                ..request.clone()
            },
            OrderRequest {
                product_id: Uuid::now_v7(),
                ..request.clone()
            },
        ] {
            assert_ne!(other.body_hash(), request.body_hash());
        }
    }
}
