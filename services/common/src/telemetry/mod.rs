//! What a service tells about itself: JSON logs on stdout, Prometheus metrics, and the layer that observes requests.
//!
//! Not here: where logs go and are rotated (the supervisor or the kubelet), and exporting spans.
//! Logs never hold tokens, bodies or query strings: nothing here logs them, and secrets hide themselves in `Debug`.

mod layer;
mod log;
mod metrics;

pub use layer::observe;
pub use log::{TelemetryError, check, init};
pub use metrics::{metrics_handle, record_request, render_metrics};
