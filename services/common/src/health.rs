//! The admin router of a service: `/healthz` (alive), `/readyz` (its dependencies, each named) and `/metrics`.
//!
//! It listens on a port of its own that the gateway never routes to. A dependency's check has a deadline, and its
//! result is kept for a while, so that probes cannot load what they watch.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::auth::KeySource;
use crate::extract::Json;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::telemetry::{observe, render_metrics};

/// How long a check may take.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long it is kept that a dependency is there.
const FRESH: Duration = Duration::from_secs(1);
/// How long it is kept that it is not: whoever waits for a service to start should not wait for this.
const FRESH_FAILURE: Duration = Duration::from_millis(100);

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// What a service needs to do its work. Clones share the results.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Default)]
struct Inner {
    draining: AtomicBool,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: &'static str,
    required: bool,
    check: Check,
    last: Mutex<Option<(Instant, DependencyStatus)>>,
}

/// Names a service's dependencies before it starts.
#[derive(Default)]
pub struct ReadinessBuilder(Vec<Dependency>);

/// The answer of `/readyz`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessReport {
    /// Whether requests should be sent here.
    pub ready: bool,
    /// Whether the service is about to end.
    pub draining: bool,
    /// Each dependency by its name.
    pub dependencies: Vec<DependencyStatus>,
}

/// One dependency in the answer of `/readyz`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DependencyStatus {
    /// The dependency, such as `postgres`.
    pub name: &'static str,
    /// Whether it is there.
    pub ready: bool,
    /// Whether the service is not ready without it.
    pub required: bool,
    /// What the check saw.
    pub detail: String,
}

impl Readiness {
    /// Names what a service depends on.
    pub fn builder() -> ReadinessBuilder {
        ReadinessBuilder::default()
    }

    /// Turns `/readyz` to 503 for good: the service is about to end.
    pub fn start_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Looks at every dependency, all at once.
    pub async fn report(&self) -> ReadinessReport {
        let draining = self.0.draining.load(Ordering::Relaxed);
        let dependencies = join_all(self.0.dependencies.iter().map(Dependency::status)).await;
        let complete = dependencies
            .iter()
            .all(|dependency| dependency.ready || !dependency.required);
        ReadinessReport {
            ready: complete && !draining,
            draining,
            dependencies,
        }
    }
}

impl ReadinessBuilder {
    /// A dependency without which the service cannot work. The check gives what it saw, good or bad.
    #[must_use]
    pub fn requires<C, F>(self, name: &'static str, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.with(name, true, check)
    }

    /// A dependency that is shown, but that the service can do without.
    #[must_use]
    pub fn uses<C, F>(self, name: &'static str, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.with(name, false, check)
    }

    /// Requires Postgres, migrated.
    #[must_use]
    pub fn postgres(self, postgres: &Postgres) -> Self {
        let postgres = postgres.clone();
        self.requires("postgres", move || {
            let postgres = postgres.clone();
            async move { postgres.check().await }
        })
    }

    /// Requires keys to verify access tokens with. They stay when auth goes away.
    #[must_use]
    pub fn keys(self, keys: &KeySource) -> Self {
        let keys = keys.clone();
        self.requires("keys", move || ready(keys.check()))
    }

    /// Shows Redis, which no service needs to be right.
    #[must_use]
    pub fn redis(self, redis: &Redis) -> Self {
        let redis = redis.clone();
        self.uses("redis", move || ready(redis.check()))
    }

    fn with<C, F>(mut self, name: &'static str, required: bool, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.0.push(Dependency {
            name,
            required,
            check: Box::new(move || Box::pin(check())),
            last: Mutex::new(None),
        });
        self
    }

    /// The dependencies named so far.
    pub fn build(self) -> Readiness {
        Readiness(Arc::new(Inner {
            draining: AtomicBool::new(false),
            dependencies: self.0,
        }))
    }
}

impl Dependency {
    async fn status(&self) -> DependencyStatus {
        // Held while checking: whoever else asks meanwhile gets this check's result.
        let mut last = self.last.lock().await;
        if let Some((seen, status)) = &*last
            && seen.elapsed() < if status.ready { FRESH } else { FRESH_FAILURE }
        {
            return status.clone();
        }
        let outcome = tokio::time::timeout(DEADLINE, (self.check)())
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} ms", DEADLINE.as_millis())));
        let (ready, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        if last
            .as_ref()
            .is_none_or(|(_, before)| before.ready != ready)
        {
            tracing::info!(
                dependency = self.name,
                ready,
                detail,
                "readiness of a dependency"
            );
        }
        let status = DependencyStatus {
            name: self.name,
            ready,
            required: self.required,
            detail,
        };
        *last = Some((Instant::now(), status.clone()));
        status
    }
}

/// The admin router.
pub fn admin_router(readiness: Readiness) -> Router {
    observe(
        Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(readiness),
    )
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report().await;
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

async fn metrics() -> Response {
    let text_format = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (text_format, render_metrics()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    async fn get_json(router: &Router, path: &str) -> (StatusCode, Value) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    #[tokio::test]
    async fn a_service_is_ready_when_all_it_requires_is_there() {
        let readiness = Readiness::builder()
            .requires("postgres", async || Ok("migrated".to_owned()))
            .uses("redis", async || Err("no master".to_owned()))
            .build();
        let (status, body) = get_json(&admin_router(readiness), "/readyz").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["ready"], true);
        assert_eq!(body["dependencies"][0]["name"], "postgres");
        assert_eq!(body["dependencies"][1]["ready"], false);
        assert_eq!(body["dependencies"][1]["detail"], "no master");
    }

    #[tokio::test]
    async fn a_missing_requirement_is_named_with_what_was_seen() {
        let readiness = Readiness::builder()
            .requires("postgres", async || Err("connection refused".to_owned()))
            .build();
        let (status, body) = get_json(&admin_router(readiness), "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["ready"], false);
        assert_eq!(body["dependencies"][0]["detail"], "connection refused");
    }

    #[tokio::test]
    async fn a_draining_service_is_alive_but_not_ready() {
        let readiness = Readiness::default();
        let router = admin_router(readiness.clone());
        assert_eq!(get_json(&router, "/readyz").await.0, StatusCode::OK);
        readiness.start_draining();
        let (status, body) = get_json(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["draining"], true);
        assert_eq!(get_json(&router, "/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_not_ready_after_its_deadline() {
        let readiness = Readiness::builder()
            .requires("postgres", std::future::pending::<Result<String, String>>)
            .build();
        let report = readiness.report().await;
        assert!(!report.ready);
        assert_eq!(report.dependencies[0].detail, "no answer within 1000 ms");
    }

    #[tokio::test]
    async fn many_probes_at_once_check_a_dependency_once() {
        let checks = Arc::new(AtomicUsize::new(0));
        let counted = checks.clone();
        let readiness = Readiness::builder()
            .requires("postgres", move || {
                let counted = counted.clone();
                async move { Ok(format!("check {}", counted.fetch_add(1, Ordering::SeqCst))) }
            })
            .build();
        join_all((0..20).map(|_| readiness.report())).await;
        assert_eq!(checks.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn metrics_are_text_that_prometheus_reads() {
        let request = Request::builder()
            .uri("/metrics")
            .body(Body::empty())
            .unwrap();
        let response = admin_router(Readiness::default())
            .oneshot(request)
            .await
            .unwrap();
        let content_type = response.headers()[CONTENT_TYPE]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            content_type.starts_with("text/plain; version=0.0.4"),
            "{content_type}"
        );
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert!(
            String::from_utf8_lossy(&body).contains("# TYPE process_cpu_seconds_total counter")
        );
    }
}
