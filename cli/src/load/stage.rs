//! What a load needs to be there: products, accounts and tokens, all of them tagged as test data.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use reqwest::StatusCode;
use shop_token::{Issuer, Role};
use uuid::Uuid;

use super::generator::Expected;
use super::plan::{GRACE, LoadPlan};
use crate::environment::LoadKind;
use crate::shop::test_data::Account;
use crate::shop::{Request, Shop, ShopError, test_data};

/// What the tags of all load tests begin with.
pub(super) const TAG_PREFIX: &str = "load-";
/// Products that a load orders when it is not about one.
const PRODUCTS: u32 = 10;
/// More than any load can order.
const PLENTY: u32 = 10_000_000;
/// An account may be tried ten times a minute, so that many accounts a login a second last for ever, with some to spare.
const ACCOUNTS_A_LOGIN: u32 = 8;
/// Registrations at once: each costs a hash of a password.
const AT_ONCE: usize = 4;
/// How much longer than the load tokens are good: for what comes before and after it.
const TOKEN_MARGIN: Duration = Duration::from_mins(15);
/// More customers than that take turns.
const MOST_TOKENS: u32 = 100_000;
/// How many products of the catalogue are looked at.
const CATALOGUE: usize = 20;

/// What a load finds.
pub(super) struct Stage {
    /// The tag of all of it.
    pub(super) tag: String,
    /// The products that may be ordered.
    pub(super) products: Vec<Uuid>,
    /// Products that everybody sees.
    pub(super) catalogue: Vec<Uuid>,
    /// A token a user. Written to a file that only k6 reads, and never shown; so are the accounts.
    pub(super) tokens: Vec<String>,
    /// Accounts to log in with.
    pub(super) accounts: Vec<Account>,
    admin: String,
}

impl Stage {
    /// The tag of a new test, and an administrator's token for it.
    pub(super) fn new(plan: &LoadPlan, expected: Expected, issuer: &Issuer) -> Self {
        let tag = format!("{TAG_PREFIX}{}", Uuid::now_v7().simple());
        let lifetime = expected.lasts + GRACE + TOKEN_MARGIN;
        let issue = |role| issuer.issue(Uuid::now_v7(), role, lifetime, Some(&tag));
        Self {
            products: Vec::new(),
            catalogue: Vec::new(),
            tokens: (0..tokens(plan, expected.vus))
                .map(|_| issue(Role::Customer))
                .collect(),
            accounts: Vec::new(),
            admin: issue(Role::Admin),
            tag,
        }
    }

    /// The token of an administrator of this test.
    pub(super) fn admin(&self) -> &str {
        &self.admin
    }

    /// One with products and accounts that do not exist, and with tokens of nobody.
    pub(super) fn imagined(plan: &LoadPlan) -> Self {
        let products: Vec<Uuid> = (0..PRODUCTS).map(|_| Uuid::new_v4()).collect();
        Self {
            tag: String::new(),
            catalogue: products.clone(),
            products,
            tokens: vec!["token".to_owned(); tokens(plan, plan.profile.vus)],
            accounts: (0..accounts(plan))
                .map(|number| Account {
                    email: format!("{number}@load.test"),
                    password: "password".to_owned(),
                })
                .collect(),
            admin: String::new(),
        }
    }

    /// Makes what the plan needs. What was made before something failed stays, for [`test_data::remove`].
    pub(super) async fn set(&mut self, plan: &LoadPlan, shop: &Shop) -> Result<(), ShopError> {
        let flash = plan.profile.kind == LoadKind::FlashSale && plan.script.is_none();
        if plan.orders() {
            let (count, stock) = if flash {
                (1, plan.profile.stock)
            } else {
                (PRODUCTS, PLENTY)
            };
            for number in 1..=count {
                let product = test_data::make_product(
                    shop,
                    &self.admin,
                    &test_data::NewProduct {
                        sku: format!("{}-{number}", self.tag),
                        name: format!("Load test: {number}"),
                        stock,
                    },
                )
                .await?;
                self.products.push(product);
            }
            self.catalogue = catalogue(shop).await?;
        }
        if let (true, Some(product)) = (flash, self.products.first()) {
            let lasts = plan.profile.duration.to_std() + GRACE + TOKEN_MARGIN;
            test_data::put_on_sale(shop, &self.admin, *product, 1, lasts).await?;
        }
        if plan.login_vus() > 0 || plan.script.is_some() {
            self.accounts = self.register(plan, shop).await?;
        }
        Ok(())
    }

    async fn register(&self, plan: &LoadPlan, shop: &Shop) -> Result<Vec<Account>, ShopError> {
        stream::iter(1..=accounts(plan))
            .map(async |number| {
                let email = format!("{}-{number}@load.test", self.tag);
                test_data::register(shop, &self.admin, email).await
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}

/// How many customers there are: one a user, and at least as many as the profile has, which is what a script of one's own
/// was read with.
fn tokens(plan: &LoadPlan, users: u32) -> usize {
    usize::try_from(users.max(plan.profile.vus).clamp(1, MOST_TOKENS)).unwrap_or(1)
}

/// How many accounts there are to log in with.
fn accounts(plan: &LoadPlan) -> u32 {
    (plan.profile.logins_per_second * ACCOUNTS_A_LOGIN).max(1)
}

/// Products that everybody sees.
async fn catalogue(shop: &Shop) -> Result<Vec<Uuid>, ShopError> {
    let path = format!("/api/products?limit={CATALOGUE}");
    let request = Request::get(&path);
    let answer = shop.ask(&request).await?;
    test_data::expect("read the catalogue", &request, &answer, StatusCode::OK)?;
    let items = answer.body["items"].as_array();
    Ok(items
        .into_iter()
        .flatten()
        .filter_map(|item| item["id"].as_str()?.parse().ok())
        .collect())
}
