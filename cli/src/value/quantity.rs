//! Amounts of processor time, memory and storage in the notation of Kubernetes: `500m`, `1.5`, `256Mi`, `10G`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// What stands before the suffix is not a number of at most three decimals.
    #[error("this is no quantity")]
    Number,
    /// The suffix is not one of ours.
    #[error("unknown suffix `{0}` of a quantity")]
    Suffix(String),
    /// It does not fit.
    #[error("this quantity is too large")]
    TooLarge,
}

/// An amount: kept as it was written, with its value in thousandths beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    text: String,
    thousandths: u128,
}

const SUFFIXES: [(&str, u128); 10] = [
    ("", 1_000),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("Ki", 1_000 << 10),
    ("Mi", 1_000 << 20),
    ("Gi", 1_000 << 30),
    ("Ti", 1_000 << 40),
];

impl Quantity {
    /// The amount as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The amount in bytes (or whole processors), rounded up.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.thousandths.div_ceil(1_000)).unwrap_or(u64::MAX)
    }

    /// The amount in thousandths: of a processor, as Kubernetes counts them.
    pub fn thousandths(&self) -> u64 {
        u64::try_from(self.thousandths).unwrap_or(u64::MAX)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.thousandths == other.thousandths
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.thousandths.cmp(&other.thousandths)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let split = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(split);
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty() || decimals.is_empty() || decimals.len() > 3 || decimals.contains('.') {
            return Err(QuantityError::Number);
        }
        let size = SUFFIXES
            .into_iter()
            .find(|(name, _)| *name == suffix)
            .map(|(_, size)| size)
            .ok_or_else(|| QuantityError::Suffix(suffix.to_owned()))?;
        let whole: u128 = whole.parse().map_err(|_| QuantityError::TooLarge)?;
        let decimals: u128 = format!("{decimals:0<3}")
            .parse()
            .map_err(|_| QuantityError::Number)?;
        let thousandths = whole
            .checked_mul(1_000)
            .and_then(|whole| whole.checked_add(decimals))
            .and_then(|number| number.checked_mul(size))
            .map(|amount| amount.div_ceil(1_000))
            .filter(|amount| *amount <= u128::from(u64::MAX) * 1_000)
            .ok_or(QuantityError::TooLarge)?;
        Ok(Self {
            text: text.to_owned(),
            thousandths,
        })
    }
}

impl TryFrom<String> for Quantity {
    type Error = QuantityError;
    fn try_from(text: String) -> Result<Self, QuantityError> {
        text.parse()
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.text
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "shop-quantity",
            "pattern": "^[0-9]+(\\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
            "examples": ["500m", "2", "256Mi", "10Gi"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_keeps_its_text_and_knows_its_value() {
        for (text, bytes, thousandths) in [
            ("500m", 1, 500),
            ("1.5", 2, 1_500),
            ("64Ki", 65_536, 65_536_000),
            ("1Gi", 1 << 30, 1_000 << 30),
            ("1G", 1_000_000_000, 1_000_000_000_000),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!(quantity.to_string(), text);
            assert_eq!(quantity.bytes(), bytes, "{text}");
            assert_eq!(quantity.thousandths(), thousandths, "{text}");
        }
        assert_eq!(
            "1024Mi".parse::<Quantity>().unwrap(),
            "1Gi".parse().unwrap()
        );
    }

    #[test]
    fn what_is_wrong_with_a_quantity_is_said() {
        for (text, why) in [
            ("", QuantityError::Number),
            ("lots", QuantityError::Number),
            ("-1", QuantityError::Number),
            ("1.2345", QuantityError::Number),
            ("1.2.3", QuantityError::Number),
            ("1GB", QuantityError::Suffix("GB".into())),
            ("1 Gi", QuantityError::Suffix(" Gi".into())),
            ("99999999999999999999999Ti", QuantityError::TooLarge),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap_err(), why, "{text:?}");
        }
    }
}
