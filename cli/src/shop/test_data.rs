//! Test data: made under a tag, hidden from everybody else, and removed by that tag.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Answer, Request, Shop, ShopError};

/// The services that keep test data. Orders go first: they name products.
const SERVICES: [&str; 3] = ["orders", "products", "auth"];
/// How long a service that is away is left alone.
const PAUSE: Duration = Duration::from_millis(250);

/// A product of a test.
#[derive(Clone, Debug)]
pub struct NewProduct {
    /// What it is known by.
    pub sku: String,
    /// What customers see.
    pub name: String,
    /// How many there are.
    pub stock: u32,
}

impl NewProduct {
    /// The request's body.
    pub fn body(&self) -> Value {
        json!({
            "sku": self.sku,
            "name": self.name,
            "description": "Made by a test, which removes it.",
            "price": {"amountMinor": 1999, "currency": "EUR"},
            "stock": self.stock,
        })
    }
}

/// Test data that could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("failed to remove the test data tagged {tag}: {}", problems.join("; "))]
pub struct TestDataLeft {
    /// The tag.
    pub tag: String,
    /// What each service said that kept something.
    pub problems: Vec<String>,
}

/// Fails unless an answer has a status.
pub fn expect(
    action: &str,
    request: &Request<'_>,
    answer: &Answer,
    status: StatusCode,
) -> Result<(), ShopError> {
    if answer.status == status {
        return Ok(());
    }
    Err(ShopError::Unexpected {
        action: action.to_owned(),
        method: request.method().clone(),
        path: request.path().to_owned(),
        answer: answer.summary(),
    })
}

/// Makes a product of the test that the administrator's token belongs to.
pub async fn make_product(
    shop: &Shop,
    admin: &str,
    product: &NewProduct,
) -> Result<Uuid, ShopError> {
    let request = Request::post("/api/products", product.body()).token(admin);
    let answer = shop.ask(&request).await?;
    let action = format!("make the product {}", product.sku);
    expect(&action, &request, &answer, StatusCode::CREATED)?;
    id_of(&action, &request, &answer)
}

/// Somebody who logs in. Without `Debug`: a password is shown to nobody.
#[derive(Serialize)]
pub struct Account {
    /// Who.
    pub email: String,
    /// What only a test of this run knows.
    pub password: String,
}

/// Registers somebody for the test that the administrator's token belongs to.
pub async fn register(shop: &Shop, admin: &str, email: String) -> Result<Account, ShopError> {
    let account = Account {
        email,
        password: format!("correct horse {}", Uuid::new_v4()),
    };
    let body = json!({"email": account.email, "password": account.password});
    let request = Request::post("/api/auth/register", body).token(admin);
    let answer = shop.ask(&request).await?;
    expect(
        "register a customer",
        &request,
        &answer,
        StatusCode::CREATED,
    )?;
    Ok(account)
}

/// The terms of a sale that began a moment ago. A clock that cannot be written gives a sale that no shop accepts.
pub fn sale_body(limit: u32, lasts: Duration) -> Value {
    let now = OffsetDateTime::now_utc();
    let moment = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    json!({
        "startsAt": moment(now - time::Duration::SECOND),
        "endsAt": moment(now + lasts),
        "limitPerCustomer": limit,
        "price": {"amountMinor": 999, "currency": "EUR"},
    })
}

/// Puts a product on sale from a moment ago, and gives the sale.
pub async fn put_on_sale(
    shop: &Shop,
    admin: &str,
    product: Uuid,
    limit: u32,
    lasts: Duration,
) -> Result<Uuid, ShopError> {
    let path = format!("/api/products/{product}/sales");
    let request = Request::post(&path, sale_body(limit, lasts)).token(admin);
    let answer = shop.ask(&request).await?;
    let action = "put a product on sale";
    expect(action, &request, &answer, StatusCode::CREATED)?;
    id_of(action, &request, &answer)
}

/// The id of what was made.
fn id_of(action: &str, request: &Request<'_>, answer: &Answer) -> Result<Uuid, ShopError> {
    let id = answer.body["id"].as_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| ShopError::Unexpected {
        action: action.to_owned(),
        method: request.method().clone(),
        path: request.path().to_owned(),
        answer: format!("no id: {}", answer.body),
    })
}

/// Removes everything of a tag, until a deadline. What one service keeps is no reason to leave what the others have.
/// `ask` asks the shop.
pub async fn remove<E: std::fmt::Display>(
    tag: &str,
    admin: &str,
    deadline: Instant,
    ask: impl AsyncFn(&Request<'_>) -> Result<Answer, E>,
) -> Result<(), TestDataLeft> {
    let mut problems = Vec::new();
    for service in SERVICES {
        let path = format!("/api/{service}/test-data/{tag}");
        let request = Request::new(Method::DELETE, &path).token(admin);
        loop {
            let problem = match ask(&request).await {
                Ok(answer)
                    if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND =>
                {
                    break;
                }
                Ok(answer) => answer.summary(),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                problems.push(format!("{service}: {problem}"));
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(TestDataLeft {
            tag: tag.to_owned(),
            problems,
        })
    }
}
