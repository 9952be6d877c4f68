//! What the service talks about: products, sales, stock and holds.
//!
//! Values that come from outside are checked here, all of a value's faults at once. Not here: how they are stored,
//! and how they look in JSON where that differs.

use serde::{Deserialize, Serialize};
use shop_common::segment::{MalformedTag, TestTag, is_segment};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// The most that anything may cost: far from where a price times a quantity overflows.
const HIGHEST_AMOUNT: i64 = 1_000_000_000_000;
/// The longest sku.
const LONGEST_SKU: usize = 64;
/// The most that one delivery brings.
const LARGEST_DELIVERY: i64 = 1_000_000_000_000;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Money {
    /// In the currency's smallest unit, such as cents.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64, example = 1999)]
    pub(crate) amount_minor: i64,
    /// The currency's code by ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub(crate) currency: String,
}

/// A product as the catalogue shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Product {
    /// The product.
    pub(crate) id: Uuid,
    /// The seller's own name for it.
    pub(crate) sku: String,
    /// What customers call it.
    pub(crate) name: String,
    /// What it is.
    pub(crate) description: String,
    /// What it costs outside of a sale.
    pub(crate) price: Money,
    /// The sale that goes on, or else the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sale: Option<Sale>,
    /// Whether any is free at the moment.
    pub(crate) available: bool,
    /// The test run that it belongs to; such a product is not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<String>,
}

/// A product that is about to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewProduct {
    /// The seller's own name for it, unique. It can stand in a path.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = r"^(?!\.{1,2}$)[!-.0-\[\]-~]+$",
        example = "MUG-1"
    )]
    pub(crate) sku: String,
    /// What customers call it, 1 to 200 characters.
    pub(crate) name: String,
    /// What it is, at most 4000 characters.
    #[serde(default)]
    pub(crate) description: String,
    /// What it costs.
    pub(crate) price: Money,
    /// How much of it there is to begin with.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub(crate) stock: i64,
    /// The test run that it belongs to.
    #[serde(default)]
    pub(crate) tag: Option<String>,
}

/// What can be changed of a product. Its sku and its currency stay.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ProductChange {
    /// What customers call it, 1 to 200 characters.
    pub(crate) name: String,
    /// What it is, at most 4000 characters.
    #[serde(default)]
    pub(crate) description: String,
    /// What it costs.
    pub(crate) price: Money,
}

/// A window in which a product is sold on other terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sale {
    /// The sale.
    pub(crate) id: Uuid,
    /// Its first moment.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) starts_at: OffsetDateTime,
    /// The first moment after it.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) ends_at: OffsetDateTime,
    /// How many a customer may buy in it.
    pub(crate) limit_per_customer: i32,
    /// The price in it, if it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) price: Option<Money>,
}

/// A sale that is about to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewSale {
    /// Its first moment.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) starts_at: OffsetDateTime,
    /// The first moment after it.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) ends_at: OffsetDateTime,
    /// How many a customer may buy in it.
    #[schema(minimum = 1)]
    pub(crate) limit_per_customer: i32,
    /// The price in it; without one the product keeps its own.
    #[serde(default)]
    pub(crate) price: Option<Money>,
}

/// Where everything of a product is that ever came in: `received = free + held + sold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stock {
    /// All that came in.
    pub(crate) received: i64,
    /// What may be sold or held.
    pub(crate) free: i64,
    /// What is kept for somebody.
    pub(crate) held: i64,
    /// What was sold.
    pub(crate) sold: i64,
}

/// A delivery.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Delivery {
    /// How much it brings.
    #[schema(minimum = 1)]
    pub(crate) add: i64,
    /// Names the delivery, 1 to 128 characters: told twice, it counts once.
    pub(crate) reference: String,
}

/// Everything that is wrong with a value.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    pub(crate) fn expect(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.0.push(otherwise.into());
        }
    }

    /// Nothing, or all faults in one sentence.
    pub(crate) fn none(self) -> Result<(), String> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0.join("; "))
        }
    }
}

impl Money {
    fn check(&self, faults: &mut Faults) {
        faults.expect(
            (0..=HIGHEST_AMOUNT).contains(&self.amount_minor),
            format!("`price.amountMinor` must be between 0 and {HIGHEST_AMOUNT}"),
        );
        faults.expect(
            self.currency.len() == 3 && self.currency.bytes().all(|byte| byte.is_ascii_uppercase()),
            "`price.currency` must be a code of three capital letters, such as `EUR`",
        );
    }
}

impl NewProduct {
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut faults = Faults::default();
        faults.expect(
            is_segment(&self.sku, LONGEST_SKU),
            format!(
                "`sku` must be 1 to {LONGEST_SKU} visible ASCII characters without slash and backslash, and not `.` or `..`"
            ),
        );
        check_texts(&self.name, &self.description, &mut faults);
        self.price.check(&mut faults);
        faults.expect(
            (0..=LARGEST_DELIVERY).contains(&self.stock),
            format!("`stock` must be between 0 and {LARGEST_DELIVERY}"),
        );
        if let Some(tag) = &self.tag {
            faults.expect(TestTag::fits(tag), format!("`tag`: {MalformedTag}"));
        }
        faults.none()
    }
}

impl ProductChange {
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut faults = Faults::default();
        check_texts(&self.name, &self.description, &mut faults);
        self.price.check(&mut faults);
        faults.none()
    }
}

impl NewSale {
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut faults = Faults::default();
        faults.expect(
            self.starts_at < self.ends_at,
            "`startsAt` must be before `endsAt`",
        );
        faults.expect(
            self.limit_per_customer > 0,
            "`limitPerCustomer` must be at least 1",
        );
        if let Some(price) = &self.price {
            price.check(&mut faults);
        }
        faults.none()
    }
}

impl Delivery {
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut faults = Faults::default();
        faults.expect(
            (1..=LARGEST_DELIVERY).contains(&self.add),
            format!("`add` must be between 1 and {LARGEST_DELIVERY}"),
        );
        faults.expect(
            is_key(&self.reference),
            "`reference` must be 1 to 128 visible ASCII characters",
        );
        faults.none()
    }
}

fn check_texts(name: &str, description: &str, faults: &mut Faults) {
    faults.expect(
        is_text(name) && (1..=200).contains(&name.chars().count()),
        "`name` must be 1 to 200 characters",
    );
    faults.expect(
        is_text(description) && description.chars().count() <= 4000,
        "`description` must be at most 4000 characters",
    );
}

/// Postgres cannot store a NUL in a text.
fn is_text(text: &str) -> bool {
    !text.contains('\0')
}

/// Whether a text can be the key of a hold or the reference of a delivery.
pub(crate) fn is_key(key: &str) -> bool {
    (1..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_product() -> NewProduct {
        NewProduct {
            sku: "MUG-1".to_owned(),
            name: "Mug".to_owned(),
            description: String::new(),
            price: Money {
                amount_minor: 0,
                currency: "EUR".to_owned(),
            },
            stock: 0,
            tag: None,
        }
    }

    #[test]
    fn all_faults_of_a_product_are_told_at_once() {
        assert_eq!(new_product().check(), Ok(()));
        let wrong = NewProduct {
            sku: "a b".to_owned(),
            name: String::new(),
            description: "x".repeat(4001),
            price: Money {
                amount_minor: -1,
                currency: "eur".to_owned(),
            },
            stock: -1,
            tag: Some(String::new()),
        };
        let faults = wrong.check().unwrap_err();
        for field in [
            "sku",
            "name",
            "description",
            "amountMinor",
            "currency",
            "stock",
            "tag",
        ] {
            assert!(faults.contains(field), "{field} is missing in: {faults}");
        }
    }

    #[test]
    fn a_sku_and_a_tag_can_stand_in_a_path() {
        for bad in ["mugs/1", "mugs\\1", ".", "..", "ä"] {
            let product = NewProduct {
                sku: bad.to_owned(),
                tag: Some(bad.to_owned()),
                ..new_product()
            };
            let faults = product.check().unwrap_err();
            assert!(
                faults.contains("`sku`") && faults.contains("`tag`"),
                "{bad:?}: {faults}"
            );
        }
    }

    #[test]
    fn names_are_counted_in_characters_and_hold_no_nul() {
        let mut product = new_product();
        product.name = "ä".repeat(200);
        assert_eq!(product.check(), Ok(()));
        product.name.push('ä');
        assert!(product.check().is_err());
        product.name = "a\0b".to_owned();
        assert!(product.check().is_err());
    }

    #[test]
    fn a_sale_needs_a_window_and_a_limit() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let sale = NewSale {
            starts_at: at,
            ends_at: at,
            limit_per_customer: 0,
            price: None,
        };
        let faults = sale.check().unwrap_err();
        assert!(
            faults.contains("startsAt") && faults.contains("limitPerCustomer"),
            "{faults}"
        );
    }
}
