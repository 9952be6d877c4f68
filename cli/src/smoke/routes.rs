//! Every route that the services document was asked: what is not, is named.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::session::{Found, Session, expect};
use crate::shop::Request;

/// The documented routes that no customer can ask: the keys have a second path inside, for the other services.
const EXCUSED: [(Method, &str); 1] = [(Method::GET, "/.well-known/jwks.json")];

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
    let seen = compare(&routes, &session.asked());
    expect(seen.unasked.is_empty(), || {
        format!("these were not asked: {}", seen.unasked.join(", "))
    })?;
    expect(seen.stale.is_empty(), || {
        format!("these are excused and not there: {}", seen.stale.join(", "))
    })?;
    Ok(format!(
        "all {} documented routes were asked, but for {} that the front door does not lead to",
        routes.len() - EXCUSED.len(),
        EXCUSED.len()
    ))
}

/// What the comparison found.
struct Compared {
    /// Routes that were neither asked nor are excused.
    unasked: Vec<String>,
    /// Excuses for routes that are not documented.
    stale: Vec<String>,
}

/// Holds the documented routes against what was asked. A route that nobody thought of here is found.
fn compare(routes: &[Route], asked: &[(Method, String)]) -> Compared {
    let is_excused = |route: &Route| {
        EXCUSED
            .iter()
            .any(|(method, path)| route.method == *method && route.path == *path)
    };
    let was_asked = |route: &Route| {
        asked
            .iter()
            .any(|(method, path)| *method == route.method && matches(&route.path, path))
    };
    Compared {
        unasked: routes
            .iter()
            .filter(|route| !is_excused(route) && !was_asked(route))
            .map(|route| format!("{} {}", route.method, route.path))
            .collect(),
        stale: EXCUSED
            .iter()
            .filter(|(method, path)| {
                !routes
                    .iter()
                    .any(|route| route.method == *method && route.path == *path)
            })
            .map(|(method, path)| format!("{method} {path}"))
            .collect(),
    }
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
    fn a_route_that_is_neither_asked_nor_excused_is_named_and_so_is_an_excuse_for_none() {
        let route = |method, path: &str| Route {
            method,
            path: path.to_owned(),
        };
        let asked = [(Method::GET, "/api/orders/1".to_owned())];
        let mut routes = vec![
            route(Method::GET, "/api/orders/{id}"),
            route(Method::GET, "/.well-known/jwks.json"),
        ];
        let all = compare(&routes, &asked);
        assert!(all.unasked.is_empty() && all.stale.is_empty());
        routes.push(route(Method::PATCH, "/api/orders/{id}"));
        routes.push(route(Method::GET, "/internal/new"));
        let grown = compare(&routes, &asked);
        assert_eq!(
            grown.unasked,
            ["PATCH /api/orders/{id}", "GET /internal/new"]
        );
        routes.remove(1);
        assert_eq!(
            compare(&routes, &asked).stale,
            ["GET /.well-known/jwks.json"]
        );
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
