//! Metrics in Prometheus' text format.
//!
//! One recorder a process, however many services a test starts in it. Process metrics are read from `/proc` when
//! somebody asks, so they cost nothing in between.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds; the same for every duration so that services can be compared.
const DURATION_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const SIZE_BUCKETS: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// The process' metrics; installs the recorder at the first call.
pub fn metrics_handle() -> &'static PrometheusHandle {
    HANDLE.get_or_init(|| {
        let recorder = with_buckets(PrometheusBuilder::new()).build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!(
                "something else records metrics in this process, so /metrics lacks them"
            );
        }
        describe_counter!(
            "http_requests_total",
            "Requests answered, by method, route and status."
        );
        describe_histogram!(
            "http_request_duration_seconds",
            "Time from a request's head to its answer's head."
        );
        handle
    })
}

/// Buckets by suffix: `…_duration_seconds` and `…_size` are histograms, not summaries.
fn with_buckets(builder: PrometheusBuilder) -> PrometheusBuilder {
    let suffixes = [
        ("_duration_seconds", DURATION_BUCKETS.as_slice()),
        ("_size", SIZE_BUCKETS.as_slice()),
    ];
    suffixes
        .into_iter()
        .fold(builder, |builder, (suffix, buckets)| {
            // Fails only for an empty list of buckets, and these are not.
            let matcher = Matcher::Suffix(suffix.to_owned());
            builder
                .set_buckets_for_metric(matcher, buckets)
                .unwrap_or_else(|_| PrometheusBuilder::new())
        })
}

/// Counts a request that has been answered.
///
/// `route` is a label, so it must be a route's pattern and never a path that a caller made up.
pub fn record_request(method: &Method, route: &str, status: StatusCode, elapsed: Duration) {
    let method = method_label(method);
    RECORDED.with_borrow_mut(|routes| {
        let known = routes
            .iter()
            .position(|known| known.is_for(method, route, status));
        let index = known.unwrap_or_else(|| {
            routes.push(RequestSeries::new(method, route, status));
            routes.len() - 1
        });
        let series = &routes[index];
        series.count.increment(1);
        series.duration.record(elapsed.as_secs_f64());
    });
}

thread_local! {
    /// What this thread has recorded: finding a series in the recorder costs more than the rest of a quick request's
    /// bookkeeping, and there are few.
    static RECORDED: RefCell<Vec<RequestSeries>> = const { RefCell::new(Vec::new()) };
}

struct RequestSeries {
    method: &'static str,
    route: String,
    status: StatusCode,
    count: Counter,
    duration: Histogram,
}

impl RequestSeries {
    fn new(method: &'static str, route: &str, status: StatusCode) -> Self {
        // Without the recorder these would count nothing for ever.
        metrics_handle();
        let route = route.to_owned();
        Self {
            method,
            status,
            count: counter!(
                "http_requests_total",
                "method" => method, "route" => route.clone(), "status" => status.as_str().to_owned()
            ),
            duration: histogram!(
                "http_request_duration_seconds",
                "method" => method, "route" => route.clone()
            ),
            route,
        }
    }

    fn is_for(&self, method: &str, route: &str, status: StatusCode) -> bool {
        self.status == status && self.route == route && self.method == method
    }
}

/// The method if it is one of HTTP's own: a caller must not be able to make up label values.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

/// The text for `/metrics`.
pub fn render_metrics() -> String {
    let mut text = metrics_handle().render();
    if let Some(process) = ProcessFigures::read() {
        process.append_to(&mut text);
    }
    text
}

/// What `/proc` says about this process.
struct ProcessFigures {
    resident_bytes: u64,
    cpu_seconds: f64,
    open_files: usize,
    threads: u64,
    start_time: f64,
}

/// Clock ticks a second in `/proc`: 100 on every Linux, whatever the kernel's own rate.
const TICKS: f64 = 100.0;

impl ProcessFigures {
    fn read() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name and may hold anything, so fields are counted behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        let of_status = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()?
            .as_secs_f64();
        Some(Self {
            resident_bytes: of_status("VmRSS:")? * 1024,
            threads: of_status("Threads:")?,
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS,
            open_files: std::fs::read_dir("/proc/self/fd").ok()?.count(),
            start_time: now - uptime + ticks(19)? / TICKS,
        })
    }

    fn append_to(&self, text: &mut String) {
        let mut put = |name: &str, kind: &str, help: &str, value: f64| {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        };
        put(
            "process_resident_memory_bytes",
            "gauge",
            "Memory that is resident.",
            self.resident_bytes as f64,
        );
        put(
            "process_cpu_seconds_total",
            "counter",
            "CPU time in user and system mode.",
            self.cpu_seconds,
        );
        put(
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            self.open_files as f64,
        );
        put("process_threads", "gauge", "Threads.", self.threads as f64);
        put(
            "process_start_time_seconds",
            "gauge",
            "When the process started, since the epoch.",
            self.start_time,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str, name: &str) -> f64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    #[test]
    fn process_figures_are_those_of_this_process() {
        let text = render_metrics();
        assert!(sample(&text, "process_resident_memory_bytes ") > 1_000_000.0);
        assert!(sample(&text, "process_open_fds ") >= 3.0);
        let age = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
            - sample(&text, "process_start_time_seconds ");
        assert!((-1.0..3600.0).contains(&age), "{age}");
    }

    #[test]
    fn requests_are_counted_by_route_and_durations_fall_into_buckets() {
        let made_up = Method::from_bytes(b"BREW").unwrap();
        record_request(
            &made_up,
            "/test/counted",
            StatusCode::OK,
            Duration::from_millis(3),
        );
        let text = render_metrics();
        assert!(
            text.contains(
                r#"http_requests_total{method="OTHER",route="/test/counted",status="200"} 1"#
            ),
            "{text}"
        );
        let bucket = r#"http_request_duration_seconds_bucket{method="OTHER",route="/test/counted",le="0.005"} 1"#;
        assert!(text.contains(bucket), "{text}");
    }
}
