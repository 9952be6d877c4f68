//! Every route that the services document was asked: what is not, is named.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::session::{Found, Session, expect};
use crate::shop::Request;

/// A documented route.
struct Route {
    method: Method,
    path: String,
}

/// Compares what the services document with what was asked.
pub(super) async fn all_asked(session: &Session<'_>) -> Found {
    let index = session.expect(StatusCode::OK, &Request::get("/")).await?;
    let documents: Vec<String> = index.body["routes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|route| route["openapi"].as_str())
        .map(ToOwned::to_owned)
        .collect();
    let mut routes = Vec::new();
    for document in std::iter::once("/openapi.json").chain(documents.iter().map(String::as_str)) {
        let answer = session
            .expect(StatusCode::OK, &Request::get(document))
            .await?;
        routes.extend(documented(&answer.body));
    }
    let asked = session.asked();
    let missing: Vec<String> = routes
        .iter()
        .filter(|route| is_public(&route.path))
        .filter(|route| {
            !asked
                .iter()
                .any(|(method, path)| *method == route.method && matches(&route.path, path))
        })
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    expect(missing.is_empty(), || {
        format!("these were not asked: {}", missing.join(", "))
    })?;
    let public = routes.iter().filter(|route| is_public(&route.path)).count();
    Ok(format!("all {public} documented routes were asked"))
}

/// What the front door leads to. The keys have a second path inside, for the other services.
fn is_public(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/openapi/") || path == "/"
}

fn documented(document: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for method in methods
            .as_object()
            .into_iter()
            .flat_map(|methods| methods.keys())
        {
            if let Ok(method) = method.to_ascii_uppercase().parse() {
                routes.push(Route {
                    method,
                    path: path.clone(),
                });
            }
        }
    }
    routes
}

/// Whether a path is one of those that a documented one with `{names}` stands for.
fn matches(documented: &str, asked: &str) -> bool {
    let mut segments = asked.split('/');
    let fits = documented.split('/').all(|segment| {
        segments
            .next()
            .is_some_and(|asked| match segment.split_once('{') {
                None => segment == asked,
                Some((before, rest)) => {
                    let after = rest.split_once('}').map_or("", |(_, after)| after);
                    asked.len() > before.len() + after.len()
                        && asked.starts_with(before)
                        && asked.ends_with(after)
                }
            })
    });
    fits && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documented_path_stands_for_those_with_a_value_in_each_name() {
        assert!(matches("/api/orders", "/api/orders"));
        assert!(matches("/api/orders/{id}", "/api/orders/1"));
        assert!(matches("/openapi/{service}.json", "/openapi/order.json"));
        assert!(!matches("/api/orders/{id}", "/api/orders"));
        assert!(!matches("/api/orders/{id}", "/api/orders/by-key/1"));
        assert!(!matches("/openapi/{service}.json", "/openapi/.json"));
    }

    #[test]
    fn every_method_of_every_path_of_a_document_is_a_route() {
        let document = serde_json::json!({"paths": {
            "/api/orders": {"get": {}, "post": {}},
            "/api/orders/{id}": {"get": {}, "parameters": []},
        }});
        let found: Vec<String> = documented(&document)
            .iter()
            .filter(|route| route.method != Method::from_bytes(b"PARAMETERS").unwrap())
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        assert_eq!(
            found,
            [
                "GET /api/orders",
                "POST /api/orders",
                "GET /api/orders/{id}"
            ]
        );
    }
}
