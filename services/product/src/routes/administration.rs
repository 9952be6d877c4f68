//! What administrators do: products, their stock and their sales.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shop_common::auth::Admin;
use shop_common::extract::{Json, Path};
use shop_common::problem::{DatabaseProblem, Problem, ProblemDocument, Result};
use shop_common::segment::TestTag;
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use crate::model::{Delivery, NewProduct, NewSale, Product, ProductChange, Sale, Stock};
use crate::store::{CONSTRAINTS, ChangeVerdict, DeliveryVerdict};

/// Makes a product, with stock if it comes with some.
#[utoipa::path(
    post,
    path = "/api/products",
    tag = "administration",
    security(("accessToken" = [])),
    request_body = NewProduct,
    responses(
        (status = 201, body = Product, headers(("location" = String, description = "the product's path"))),
        (status = 400, body = ProblemDocument, description = "`validation`"),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 403, body = ProblemDocument, description = "`forbidden`: not an administrator"),
        (status = 409, body = ProblemDocument, description = "`conflict`: the sku is taken"),
    ),
)]
pub(super) async fn create(
    State(app): State<App>,
    admin: Admin,
    Json(mut new): Json<NewProduct>,
) -> Result<Response> {
    // What a test makes belongs to the test, said or not.
    new.tag = new.tag.or(admin.test);
    new.check().map_err(Problem::validation)?;
    let product = app
        .store
        .create(&new)
        .await
        .map_err(|error| error.into_problem(CONSTRAINTS))?;
    let location = format!("/api/products/{}", product.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(product)).into_response())
}

/// Changes a product's name, description and price.
#[utoipa::path(
    put,
    path = "/api/products/{id}",
    tag = "administration",
    security(("accessToken" = [])),
    params(("id" = Uuid, Path)),
    request_body = ProductChange,
    responses(
        (status = 200, body = Product),
        (status = 400, body = ProblemDocument, description = "`validation`"),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 403, body = ProblemDocument, description = "`forbidden`: not an administrator"),
        (status = 404, body = ProblemDocument, description = "`not-found`"),
        (status = 409, body = ProblemDocument, description = "`conflict`: the currency is another one"),
    ),
)]
pub(super) async fn change(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<Uuid>,
    Json(change): Json<ProductChange>,
) -> Result<Json<Product>> {
    change.check().map_err(Problem::validation)?;
    let changed = app.store.change(id, &change).await;
    match changed.map_err(|error| error.into_problem(CONSTRAINTS))? {
        ChangeVerdict::Changed(product) => Ok(Json(*product)),
        ChangeVerdict::NotFound => Err(Problem::not_found()),
        ChangeVerdict::OtherCurrency => Err(Problem::conflict(
            "the currency of a product cannot be changed",
        )),
    }
}

/// Finds a product by the seller's own name for it, a test's product too.
#[utoipa::path(
    get,
    path = "/api/products/by-sku/{sku}",
    tag = "administration",
    security(("accessToken" = [])),
    params(("sku" = String, Path)),
    responses(
        (status = 200, body = Product),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 403, body = ProblemDocument, description = "`forbidden`: not an administrator"),
        (status = 404, body = ProblemDocument, description = "`not-found`"),
    ),
)]
pub(super) async fn by_sku(
    State(app): State<App>,
    _admin: Admin,
    Path(sku): Path<String>,
) -> Result<Json<Product>> {
    let product = app.store.product_by_sku(&sku).await;
    let product = product.map_err(|error| error.into_problem(&[]))?;
    product.map(Json).ok_or_else(Problem::not_found)
}

/// Where all stock of a product is.
#[utoipa::path(
    get,
    path = "/api/products/{id}/stock",
    tag = "administration",
    security(("accessToken" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = Stock),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 403, body = ProblemDocument, description = "`forbidden`: not an administrator"),
        (status = 404, body = ProblemDocument, description = "`not-found`"),
    ),
)]
pub(super) async fn stock(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<Uuid>,
) -> Result<Json<Stock>> {
    let stock = app
        .store
        .stock(id)
        .await
        .map_err(|error| error.into_problem(&[]))?;
    stock.map(Json).ok_or_else(Problem::not_found)
}

/// Takes a delivery in. Told again with the same reference, it counts once.
#[utoipa::path(
    post,
    path = "/api/products/{id}/stock",
    tag = "administration",
    security(("accessToken" = [])),
    params(("id" = Uuid, Path)),
    request_body = Delivery,
    responses(
        (status = 200, body = Stock),
        (status = 400, body = ProblemDocument, description = "`validation`"),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 403, body = ProblemDocument, description = "`forbidden`: not an administrator"),
        (status = 404, body = ProblemDocument, description = "`not-found`"),
        (status = 409, body = ProblemDocument, description = "`conflict`: the reference brought another amount"),
    ),
)]
pub(super) async fn receive(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<Uuid>,
    Json(delivery): Json<Delivery>,
) -> Result<Json<Stock>> {
    delivery.check().map_err(Problem::validation)?;
    let verdict = app.store.receive(id, &delivery).await;
    match verdict.map_err(|error| error.into_problem(CONSTRAINTS))? {
        DeliveryVerdict::NotFound => return Err(Problem::not_found()),
        DeliveryVerdict::Conflict => {
            return Err(Problem::conflict(
                "this reference was told with another amount",
            ));
        }
        DeliveryVerdict::Received => {}
    }
    let stock = app
        .store
        .stock(id)
        .await
        .map_err(|error| error.into_problem(&[]))?;
    stock.map(Json).ok_or_else(Problem::not_found)
}

/// All sales of a product.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sales {
    /// The latest first.
    items: Vec<Sale>,
}

/// The sales of a product, past ones too.
#[utoipa::path(
    get,
    path = "/api/products/{id}/sales",
    tag = "administration",
    security(("accessToken" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = Sales),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 403, body = ProblemDocument, description = "`forbidden`: not an administrator"),
        (status = 404, body = ProblemDocument, description = "`not-found`"),
    ),
)]
pub(super) async fn sales(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<Uuid>,
) -> Result<Json<Sales>> {
    let sales = app
        .store
        .sales(id)
        .await
        .map_err(|error| error.into_problem(&[]))?;
    sales
        .map(|items| Json(Sales { items }))
        .ok_or_else(Problem::not_found)
}

/// Makes a sale. It cannot be changed afterwards.
#[utoipa::path(
    post,
    path = "/api/products/{id}/sales",
    tag = "administration",
    security(("accessToken" = [])),
    params(("id" = Uuid, Path)),
    request_body = NewSale,
    responses(
        (status = 201, body = Sale),
        (status = 400, body = ProblemDocument, description = "`validation`"),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 403, body = ProblemDocument, description = "`forbidden`: not an administrator"),
        (status = 404, body = ProblemDocument, description = "`not-found`"),
        (status = 409, body = ProblemDocument, description = "`conflict`: another sale in this window, or another currency"),
    ),
)]
pub(super) async fn create_sale(
    State(app): State<App>,
    _admin: Admin,
    Path(id): Path<Uuid>,
    Json(new): Json<NewSale>,
) -> Result<Response> {
    new.check().map_err(Problem::validation)?;
    let product = app
        .store
        .product(id)
        .await
        .map_err(|error| error.into_problem(&[]))?;
    let product = product.ok_or_else(Problem::not_found)?;
    if new
        .price
        .as_ref()
        .is_some_and(|price| price.currency != product.price.currency)
    {
        return Err(Problem::conflict(
            "the price of a sale must have the product's currency",
        ));
    }
    let sale = app.store.create_sale(id, &new).await;
    let sale = sale.map_err(|error| error.into_problem(CONSTRAINTS))?;
    Ok((StatusCode::CREATED, Json(sale)).into_response())
}

/// How much was removed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemovedTestData {
    /// Products, with all that belonged to them.
    products: i32,
}

/// Removes the products of a test.
#[utoipa::path(
    delete,
    path = "/api/products/test-data/{tag}",
    tag = "administration",
    security(("accessToken" = [])),
    params(("tag" = String, Path, description = "the `test` claim of the test's tokens")),
    responses(
        (status = 200, body = RemovedTestData),
        (status = 401, body = ProblemDocument, description = "`unauthorized`"),
        (status = 403, body = ProblemDocument, description = "`forbidden`: not an administrator"),
    ),
)]
pub(super) async fn remove_test_data(
    State(app): State<App>,
    _admin: Admin,
    Path(tag): Path<TestTag>,
) -> Result<Json<RemovedTestData>> {
    let removed = app.store.remove_test_data(tag.as_str()).await;
    let products = removed.map_err(|error| error.into_problem(CONSTRAINTS))?;
    tracing::info!(%tag, products, "test data removed");
    Ok(Json(RemovedTestData { products }))
}
