//! Logs as one JSON object a line.

use std::fmt;
use std::io::Write;
use std::sync::Mutex;

use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{Instance, LogConfig};
use crate::context::RequestContext;

const REQUEST_ID: &str = "request_id";
const TRACE_ID: &str = "trace_id";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not in the syntax of `RUST_LOG`.
    #[error("failed to understand log.level {level:?}: {source}")]
    Filter {
        /// The filter as configured.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else logs in this process already.
    #[error("failed to set up logging: {0}")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging to stdout and installs the metrics recorder. Once a process.
pub fn init(config: &LogConfig, service: &str, instance: &Instance) -> Result<(), TelemetryError> {
    let filter = filter(config)?;
    let lines = JsonLines {
        service: service.to_owned(),
        instance: instance.as_str().to_owned(),
        out: Mutex::new(std::io::stdout()),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()?;
    super::metrics::metrics_handle();
    log_panics();
    Ok(())
}

/// Whether [`init`] will understand the configuration.
pub fn check(config: &LogConfig) -> Result<(), TelemetryError> {
    filter(config).map(drop)
}

fn filter(config: &LogConfig) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(&config.level).map_err(|source| TelemetryError::Filter {
        level: config.level.clone(),
        source,
    })
}

/// A panic becomes a line of the log like everything else, with the request that it happened for.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        tracing::error!(panic = message, place, "panicked");
    }));
}

/// Writes each event as a JSON object: who, when, what, and for which request.
struct JsonLines<W> {
    service: String,
    instance: String,
    out: Mutex<W>,
}

/// A line, its members in the order in which one reads them.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    service: &'a str,
    instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Value>,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

/// The fields of a span, kept for the events inside it.
struct SpanFields(Map<String, Value>);

impl<W> JsonLines<W> {
    fn line<S>(&self, event: &Event<'_>, context: &Context<'_, S>) -> String
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let mut fields = Map::new();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(Scope::from_root)
        {
            if let Some(SpanFields(of_span)) = span.extensions().get() {
                fields.extend(of_span.clone());
            }
        }
        event.record(&mut FieldVisitor(&mut fields));
        // What is logged outside of a request's task may name the request itself.
        RequestContext::with_current(|request| {
            fields.insert(REQUEST_ID.to_owned(), request.request_id.as_str().into());
            fields.insert(TRACE_ID.to_owned(), request.trace.trace_id().into());
        });
        let line = Line {
            timestamp: OffsetDateTime::now_utc()
                .format(&Rfc3339)
                .unwrap_or_default(),
            level: event.metadata().level().as_str(),
            service: &self.service,
            instance: &self.instance,
            request_id: fields.remove(REQUEST_ID),
            trace_id: fields.remove(TRACE_ID),
            target: event.metadata().target(),
            message: fields.remove("message"),
            fields,
        };
        // Strings and maps of strings always have a JSON form.
        let mut line = serde_json::to_string(&line).unwrap_or_default();
        line.push('\n');
        line
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut FieldVisitor(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut()
        {
            values.record(&mut FieldVisitor(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let line = self.line(event, &context);
        // A reader that went away must not take the service with it, so a failed write is not an error;
        // and a panic elsewhere while writing leaves at worst half a line behind.
        let mut out = self
            .out
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

/// Collects fields as JSON values.
struct FieldVisitor<'a>(&'a mut Map<String, Value>);

impl FieldVisitor<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for FieldVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::HeaderMap;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(work: impl FnOnce()) -> Vec<Value> {
        let memory = Memory::default();
        let lines = JsonLines {
            service: "order".to_owned(),
            instance: "order-0".to_owned(),
            out: Mutex::new(memory.clone()),
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), work);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn an_event_is_one_line_with_its_message_and_fields() {
        let lines = logged(|| tracing::info!(orders = 3, "batch\ncommitted"));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "batch\ncommitted");
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["service"], "order");
        assert_eq!(lines[0]["instance"], "order-0");
        assert_eq!(lines[0]["fields"]["orders"], 3);
        OffsetDateTime::parse(lines[0]["timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
    }

    #[test]
    fn fields_of_the_spans_around_an_event_come_with_it() {
        let lines = logged(|| {
            let _outer = tracing::info_span!("migrations", schema = "orders", step = 1).entered();
            let _inner = tracing::info_span!("step", step = 2).entered();
            tracing::info!("done");
        });
        assert_eq!(lines[0]["fields"]["schema"], "orders");
        assert_eq!(lines[0]["fields"]["step"], 2);
    }

    #[test]
    fn an_event_for_a_request_carries_its_ids() {
        let request = RequestContext::from_request("/", &HeaderMap::new());
        let (id, trace) = (request.request_id.clone(), request.trace.trace_id());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let lines = logged(|| {
            runtime.block_on(request.scope(async { tracing::info!("inside") }));
            tracing::info!("outside");
            tracing::info!(request_id = "r-1", "about one");
        });
        assert_eq!(lines[0]["request_id"], id.as_str());
        assert_eq!(lines[0]["trace_id"], trace);
        assert_eq!(lines[1].get("request_id"), None);
        assert_eq!(lines[2]["request_id"], "r-1");
    }
}
