//! What a drill needs to be there: two products, customers with tokens, accounts to log in with; all tagged.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use shop_token::Role;
use uuid::Uuid;

use crate::shop::{Request, Shop, ShopError, test_data};

/// What the tags of all drills begin with.
pub(super) const TAG_PREFIX: &str = "drill-";
/// Enough for the longest drill.
pub(super) const PLENTY: u32 = 10_000_000;
/// So few that they run out in the middle of a drill.
pub(super) const SCARCE: u32 = 60;
/// Customers who take turns. The gateway allows each of them more than his share of the rate.
const CUSTOMERS: usize = 50;
/// An account may be tried ten times a minute.
const ACCOUNTS: usize = 20;
/// Longer than any drill.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// Somebody who orders.
pub(super) struct Customer {
    pub(super) id: Uuid,
    pub(super) token: String,
}

/// Somebody who logs in.
pub(super) struct Account {
    pub(super) email: String,
    pub(super) password: String,
}

/// What a drill finds.
pub(super) struct Stage {
    pub(super) tag: String,
    pub(super) customers: Vec<Customer>,
    pub(super) accounts: Vec<Account>,
    /// A product of which there is always enough.
    pub(super) plenty: Uuid,
    /// A product that runs out.
    pub(super) scarce: Uuid,
}

impl Stage {
    /// A new tag, and an administrator's token for it.
    pub(super) fn tag(shop: &Shop) -> Result<(String, String), ShopError> {
        let tag = format!("{TAG_PREFIX}{}", Uuid::now_v7().simple());
        let admin = shop
            .issuer()?
            .issue(Uuid::now_v7(), Role::Admin, TOKEN_LIFETIME, Some(&tag));
        Ok((tag, admin))
    }

    /// Makes it all.
    pub(super) async fn set(shop: &Shop, tag: &str, admin: &str) -> Result<Self, ShopError> {
        let issuer = shop.issuer()?;
        let customers = (0..CUSTOMERS)
            .map(|_| {
                let id = Uuid::now_v7();
                let token = issuer.issue(id, Role::Customer, TOKEN_LIFETIME, Some(tag));
                Customer { id, token }
            })
            .collect();
        let product = async |name: &str, stock| {
            let product = test_data::NewProduct {
                sku: format!("{tag}-{name}"),
                name: format!("Drill: {name}"),
                stock,
            };
            test_data::make_product(shop, admin, &product).await
        };
        let plenty = product("plenty", PLENTY).await?;
        let scarce = product("scarce", SCARCE).await?;
        let mut accounts = Vec::new();
        for number in 0..ACCOUNTS {
            let account = Account {
                email: format!("{tag}-{number}@drill.test"),
                password: format!("correct horse {}", Uuid::new_v4()),
            };
            let body = json!({"email": account.email, "password": account.password});
            let request = Request::post("/api/auth/register", body).token(admin);
            let answer = shop.ask(&request).await?;
            test_data::expect(
                "register a customer",
                &request,
                &answer,
                StatusCode::CREATED,
            )?;
            accounts.push(account);
        }
        Ok(Self {
            tag: tag.to_owned(),
            customers,
            accounts,
            plenty,
            scarce,
        })
    }
}
