//! What the shop sells to begin with. A product that is there, and its stock, are left as they are.

use reqwest::StatusCode;
use serde_json::json;
use shop_token::Role;
use uuid::Uuid;

use super::{Request, Shop, ShopError};
use crate::environment::{Seed, SeedProduct};

/// The administrator in whose name the catalogue is seeded: an identifier of its own, so that logs tell who it was.
const SEEDER: Uuid = Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_5eed_0001);

/// The products of the seed catalogue that the shop does not have.
pub async fn missing(shop: &Shop, seed: &Seed) -> Result<Vec<String>, ShopError> {
    if seed.products.is_empty() {
        return Ok(Vec::new());
    }
    let token = shop.token(SEEDER, Role::Admin, None)?;
    let mut missing = Vec::new();
    for product in &seed.products {
        if !has(shop, &token, product).await? {
            missing.push(product.sku.clone());
        }
    }
    Ok(missing)
}

/// Makes the products that are missing, and gives back how many.
pub async fn make(shop: &Shop, seed: &Seed) -> Result<usize, ShopError> {
    // A shop without products may be one without the service that sells them.
    if seed.products.is_empty() {
        return Ok(0);
    }
    let token = shop.token(SEEDER, Role::Admin, None)?;
    let mut made = 0;
    for product in &seed.products {
        if has(shop, &token, product).await? {
            continue;
        }
        let body = json!({
            "sku": product.sku,
            "name": product.name,
            "description": product.description,
            "price": { "amountMinor": product.price.amount_minor, "currency": product.price.currency },
            "stock": product.stock,
        });
        let answer = shop
            .ask(&Request::post("/api/products", body).token(&token))
            .await?;
        match answer.status {
            StatusCode::CREATED => made += 1,
            // Another one made it between our question and now.
            StatusCode::CONFLICT => {}
            _ => {
                return Err(ShopError::Unexpected {
                    action: format!("make the product {}", product.sku),
                    method: reqwest::Method::POST,
                    path: "/api/products".to_owned(),
                    answer: answer.summary(),
                });
            }
        }
    }
    Ok(made)
}

async fn has(shop: &Shop, token: &str, product: &SeedProduct) -> Result<bool, ShopError> {
    let path = format!("/api/products/by-sku/{}", encoded(&product.sku));
    let answer = shop.ask(&Request::get(&path).token(token)).await?;
    match answer.status {
        StatusCode::OK => Ok(true),
        StatusCode::NOT_FOUND => Ok(false),
        _ => Err(ShopError::Unexpected {
            action: format!("look for the product {}", product.sku),
            method: reqwest::Method::GET,
            path,
            answer: answer.summary(),
        }),
    }
}

/// A text as one segment of a path.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_one_segment_of_a_path_whatever_it_holds() {
        assert_eq!(encoded("MUG-01"), "MUG-01");
        assert_eq!(encoded("a/b c?ü"), "a%2Fb%20c%3F%C3%BC");
    }
}
