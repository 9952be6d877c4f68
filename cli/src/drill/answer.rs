//! What an answer of the shop tells a customer: done, not done, or not known.

use serde_json::Value;

use super::history::{OrderSeen, Outcome, Told};
use crate::shop::{Answer, ShopError};

/// What one request brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    pub(super) reason: Option<String>,
    pub(super) told: Option<Told>,
}

impl Heard {
    /// Nothing came, or nothing in time.
    pub(super) fn nothing(reason: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Unknown,
            status: None,
            reason: Some(reason.into()),
            told: None,
        }
    }

    /// The answer to an order, or to the question what became of a key.
    pub(super) fn of_order(answer: Result<Answer, ShopError>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Self::nothing(broke(&error)),
        };
        let status = answer.status.as_u16();
        let slug = slug(&answer.body);
        let (outcome, told) = match (status, slug.as_deref()) {
            (200 | 201, _) => match order(&answer.body) {
                Some(order) => (Outcome::Ok, Some(Told::Confirmed(order))),
                None => (Outcome::Unknown, None),
            },
            (409, Some(verdict @ ("sold-out" | "limit-reached"))) => {
                let verdict = verdict.to_owned();
                (Outcome::Ok, Some(Told::Refused { verdict }))
            }
            (404, _) => (Outcome::Fail, Some(Told::Absent)),
            // What was sent on may have been done although something in between says that it was not.
            (408 | 500..=599, _) => (Outcome::Unknown, None),
            _ => (Outcome::Fail, None),
        };
        Self {
            outcome,
            status: Some(status),
            reason: (outcome != Outcome::Ok)
                .then(|| slug.unwrap_or_else(|| "no problem".to_owned())),
            told,
        }
    }

    /// The answer to a read of an order that was acknowledged. "It is not there" is an answer, and a wrong one.
    pub(super) fn of_read(answer: Result<Answer, ShopError>) -> Self {
        let heard = Self::of_order(answer);
        match (heard.status, &heard.told) {
            (Some(404), Some(Told::Absent)) => Self {
                outcome: Outcome::Ok,
                ..heard
            },
            _ => heard,
        }
    }

    /// The answer to a login.
    pub(super) fn of_login(answer: Result<Answer, ShopError>) -> Self {
        match answer {
            Ok(answer) => {
                let status = answer.status.as_u16();
                let came_in = status == 200 && answer.body["accessToken"].is_string();
                Self {
                    outcome: if came_in { Outcome::Ok } else { Outcome::Fail },
                    status: Some(status),
                    reason: (!came_in).then(|| slug(&answer.body)).flatten(),
                    told: None,
                }
            }
            // It changes nothing that matters: not having come in is all there is to know.
            Err(error) => Self {
                outcome: Outcome::Fail,
                ..Self::nothing(broke(&error))
            },
        }
    }

    /// Whether a good client repeats the request.
    pub(super) fn is_broken(&self) -> bool {
        self.outcome == Outcome::Unknown
            || (self.outcome == Outcome::Fail && self.status.is_none_or(|status| status >= 500))
    }
}

fn broke(error: &ShopError) -> String {
    match error {
        ShopError::NoAnswer { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// The name of a problem: the end of its type.
fn slug(body: &Value) -> Option<String> {
    let kind = body.get("type")?.as_str()?;
    kind.rsplit('/').next().map(ToOwned::to_owned)
}

fn order(body: &Value) -> Option<OrderSeen> {
    let id = |field: &str| body[field].as_str()?.parse().ok();
    Some(OrderSeen {
        id: id("id")?,
        product: id("productId")?,
        quantity: i32::try_from(body["quantity"].as_i64()?).ok()?,
        unit_price_minor: body["unitPrice"]["amountMinor"].as_i64()?,
        currency: body["unitPrice"]["currency"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use reqwest::{Method, StatusCode};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it is what a request gives")]
    fn answer(status: u16, body: Value) -> Result<Answer, ShopError> {
        Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: reqwest::header::HeaderMap::new(),
            body,
        })
    }

    fn problem(status: u16, slug: &str) -> Result<Answer, ShopError> {
        answer(
            status,
            json!({"type": format!("https://shopctl.dev/problems/{slug}")}),
        )
    }

    #[test]
    fn only_what_certainly_did_nothing_is_a_failure() {
        let outcomes: Vec<Outcome> = [
            problem(429, "rate-limited"),
            problem(409, "sold-out"),
            problem(503, "unavailable"),
            problem(504, "timeout"),
            Err(ShopError::NoAnswer {
                method: Method::POST,
                path: "/api/orders".to_owned(),
                reason: "connection reset".to_owned(),
            }),
        ]
        .into_iter()
        .map(|answer| Heard::of_order(answer).outcome)
        .collect();
        assert_eq!(
            outcomes,
            [
                Outcome::Fail,
                Outcome::Ok,
                Outcome::Unknown,
                Outcome::Unknown,
                Outcome::Unknown
            ]
        );
    }

    #[test]
    fn an_acknowledgement_is_what_it_says_and_half_of_one_is_none() {
        let whole = json!({
            "id": Uuid::nil(), "productId": Uuid::nil(), "quantity": 2,
            "unitPrice": {"amountMinor": 5, "currency": "EUR"},
        });
        let heard = Heard::of_order(answer(201, whole.clone()));
        assert!(matches!(heard.told, Some(Told::Confirmed(ref order)) if order.quantity == 2));
        let mut half = whole;
        half["unitPrice"] = Value::Null;
        assert_eq!(Heard::of_order(answer(201, half)).outcome, Outcome::Unknown);
    }

    #[test]
    fn a_read_that_finds_nothing_was_answered() {
        let heard = Heard::of_read(problem(404, "not-found"));
        assert_eq!(heard.outcome, Outcome::Ok);
        assert_eq!(heard.told, Some(Told::Absent));
        assert!(Heard::of_read(problem(503, "busy")).is_broken());
        assert!(!Heard::of_order(problem(404, "not-found")).is_broken());
    }
}
