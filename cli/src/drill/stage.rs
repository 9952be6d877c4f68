//! What a drill needs to be there: products, customers with tokens, accounts to log in with; all tagged.

use std::time::Duration;

use shop_token::Role;
use uuid::Uuid;

use super::history::ProductStock;
use crate::shop::test_data::Account;
use crate::shop::{Shop, ShopError, test_data};

/// What the tags of all drills begin with.
pub(super) const TAG_PREFIX: &str = "drill-";
/// Enough for the longest drill.
pub(super) const PLENTY: u32 = 10_000_000;
/// So few that they run out in the middle of a drill.
pub(super) const SCARCE: u32 = 30;
/// Customers who take turns. The gateway allows each of them more than his share of the rate.
const CUSTOMERS: usize = 50;
/// Pieces in the sale: everybody who is there for it could have two.
const ON_SALE: u32 = 320;
/// Customers of the sale: a burst of them for each try to catch a lock, and some to begin with.
const SALE_CUSTOMERS: usize = 160;
/// What a customer may have of the product in the sale.
const LIMIT: u32 = 1;
/// An account may be tried ten times a minute.
const ACCOUNTS: usize = 20;
/// Longer than any drill.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// Somebody who orders.
pub(super) struct Customer {
    pub(super) id: Uuid,
    pub(super) token: String,
}

/// A product in a sale, and who orders it.
pub(super) struct SaleStage {
    pub(super) sale: Uuid,
    pub(super) product: Uuid,
    pub(super) pieces: u32,
    pub(super) limit: u32,
    /// Each orders once, so that each has a lock of his own.
    pub(super) customers: Vec<Customer>,
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
    /// A product in a sale, where lock holders are made to hang.
    pub(super) sale: Option<SaleStage>,
}

impl Stage {
    /// Who has this id.
    pub(super) fn customer(&self, id: Uuid) -> Option<&Customer> {
        let of_sale = self.sale.iter().flat_map(|sale| &sale.customers);
        self.customers
            .iter()
            .chain(of_sale)
            .find(|customer| customer.id == id)
    }

    /// The products that are sold, and how many pieces of each came in.
    pub(super) fn products(&self) -> Vec<ProductStock> {
        let stock = |product, pieces: u32| ProductStock {
            product,
            pieces: i64::from(pieces),
        };
        let sale = self
            .sale
            .iter()
            .map(|sale| stock(sale.product, sale.pieces));
        [stock(self.plenty, PLENTY), stock(self.scarce, SCARCE)]
            .into_iter()
            .chain(sale)
            .collect()
    }

    /// A new tag, and an administrator's token for it.
    pub(super) fn tag(shop: &Shop) -> Result<(String, String), ShopError> {
        let tag = format!("{TAG_PREFIX}{}", Uuid::now_v7().simple());
        let admin = shop
            .issuer()?
            .issue(Uuid::now_v7(), Role::Admin, TOKEN_LIFETIME, Some(&tag));
        Ok((tag, admin))
    }

    /// The products that are sold.
    pub(super) fn product_ids(&self) -> Vec<Uuid> {
        self.products().iter().map(|stock| stock.product).collect()
    }

    /// Makes it all; a sale if one is asked for.
    pub(super) async fn set(
        shop: &Shop,
        tag: &str,
        admin: &str,
        with_sale: bool,
    ) -> Result<Self, ShopError> {
        let issuer = shop.issuer()?;
        let customers = |number: usize| -> Vec<Customer> {
            (0..number)
                .map(|_| {
                    let id = Uuid::now_v7();
                    let token = issuer.issue(id, Role::Customer, TOKEN_LIFETIME, Some(tag));
                    Customer { id, token }
                })
                .collect()
        };
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
        let sale = if with_sale {
            let product = product("sale", ON_SALE).await?;
            Some(SaleStage {
                sale: test_data::put_on_sale(shop, admin, product, LIMIT, TOKEN_LIFETIME).await?,
                product,
                pieces: ON_SALE,
                limit: LIMIT,
                customers: customers(SALE_CUSTOMERS),
            })
        } else {
            None
        };
        let mut accounts = Vec::new();
        for number in 0..ACCOUNTS {
            let email = format!("{tag}-{number}@drill.test");
            accounts.push(test_data::register(shop, admin, email).await?);
        }
        Ok(Self {
            tag: tag.to_owned(),
            customers: customers(CUSTOMERS),
            accounts,
            plenty,
            scarce,
            sale,
        })
    }
}
