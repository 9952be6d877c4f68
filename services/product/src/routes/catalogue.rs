//! The catalogue as customers see it.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shop_common::auth::MaybeCustomer;
use shop_common::extract::{Json, Path, Query};
use shop_common::problem::{DatabaseProblem, Problem, ProblemDocument, Result};
use shop_token::Role;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{App, cursor};
use crate::model::Product;

const DEFAULT_LIMIT: u16 = 20;
const LARGEST_LIMIT: u16 = 100;

/// Which page to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Products in a page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// A page of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProductPage {
    /// In the order in which the products were made.
    items: Vec<Product>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// The products that are for everybody, in pages.
#[utoipa::path(
    get,
    path = "/api/products",
    tag = "catalogue",
    params(PageQuery),
    responses(
        (status = 200, body = ProductPage),
        (status = 400, body = ProblemDocument, description = "`validation`"),
    ),
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Result<Json<ProductPage>> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=LARGEST_LIMIT).contains(&limit) {
        return Err(Problem::validation(format!(
            "`limit` must be between 1 and {LARGEST_LIMIT}"
        )));
    }
    let after = match query.cursor.as_deref() {
        None => None,
        Some(text) => Some(
            cursor::decode(text)
                .ok_or_else(|| Problem::validation("`cursor` is not one that was given out"))?,
        ),
    };
    // One more than asked for says whether there is a next page.
    let page = app.store.page(after, i64::from(limit) + 1).await;
    let mut items = page.map_err(|error| error.into_problem(&[]))?;
    let more = items.len() > usize::from(limit);
    items.truncate(limit.into());
    let next_cursor = items
        .last()
        .filter(|_| more)
        .map(|last| cursor::encode(last.id));
    Ok(Json(ProductPage { items, next_cursor }))
}

/// One product. A test's product is there for callers of the same test, and for administrators.
#[utoipa::path(
    get,
    path = "/api/products/{id}",
    tag = "catalogue",
    security((), ("accessToken" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = Product),
        (status = 401, body = ProblemDocument, description = "`unauthorized`: there is a token, but not a good one"),
        (status = 404, body = ProblemDocument, description = "`not-found`"),
    ),
)]
pub(super) async fn one(
    State(app): State<App>,
    MaybeCustomer(caller): MaybeCustomer,
    Path(id): Path<Uuid>,
) -> Result<Json<Product>> {
    let product = app
        .store
        .product(id)
        .await
        .map_err(|error| error.into_problem(&[]))?;
    let visible = |product: &Product| {
        let admin = caller
            .as_ref()
            .is_some_and(|caller| caller.role == Role::Admin);
        let test = caller.as_ref().and_then(|caller| caller.test.as_ref());
        admin || product.tag.is_none() || product.tag.as_ref() == test
    };
    product
        .filter(visible)
        .map(Json)
        .ok_or_else(Problem::not_found)
}
