//! The gateway's own settings: what `[gateway]` and `[upstreams.*]` may say, and their defaults.
//!
//! Raw shapes as read from the file live here, and their checks. What is built from them (routes, networks,
//! rates) lives with the module that uses it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::address::{Network, NetworkError};
use crate::limit::{Class, Rate, Rates};
use crate::open::Open;
use crate::route::{RouteError, Routes};

/// The `[gateway]` section. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewaySettings {
    /// Longest request body that is passed on; longer ones get 413.
    pub max_body_bytes: u64,
    /// Bodies up to this size are read whole before an upstream is bothered, and can be sent again.
    pub buffer_bytes: u64,
    /// Longest request head; longer ones get 431.
    pub max_head_bytes: usize,
    /// Connections a worker holds open at most.
    pub max_connections: usize,
    /// Requests a worker has in flight at most; above it 503 `busy`.
    pub max_in_flight: usize,
    /// The event loop's delay above which a worker begins to refuse requests.
    pub shed_delay_milliseconds: u64,
    /// Time from a request's first byte to the end of its head.
    pub head_milliseconds: u64,
    /// Time for a whole request body.
    pub body_milliseconds: u64,
    /// Silence allowed in the midst of a body, in either direction.
    pub stall_milliseconds: u64,
    /// How long an idle client connection is kept.
    pub idle_seconds: u64,
    /// After SIGTERM, how long clients that are idle have to send another request, which is then answered and told
    /// to close. Within `http.drainSeconds`.
    pub linger_milliseconds: u64,
    /// Time to connect to an upstream's endpoint.
    pub connect_milliseconds: u64,
    /// An endpoint that owes answers and has sent none for so long is asked for a sign of life.
    pub silence_milliseconds: u64,
    /// Time that such a sign of life may take.
    pub probe_milliseconds: u64,
    /// Failures in a row that open an endpoint's circuit.
    pub breaker_failures: u32,
    /// Pause between the probes of an endpoint whose circuit is open.
    pub breaker_open_milliseconds: u64,
    /// Share of requests that may be sent a second time.
    pub retry_share: f64,
    /// Second tries that may come in one burst, for example when a replica dies.
    pub retry_burst: u32,
    /// Idle connections a worker keeps to an endpoint.
    pub pool_idle: usize,
    /// Addresses or networks of proxies whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<String>,
    /// Limits of request rates.
    pub limits: LimitSettings,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            buffer_bytes: 64 * 1024,
            max_head_bytes: 32 * 1024,
            max_connections: 10_000,
            max_in_flight: 4096,
            shed_delay_milliseconds: 500,
            head_milliseconds: 10_000,
            body_milliseconds: 30_000,
            stall_milliseconds: 10_000,
            idle_seconds: 75,
            linger_milliseconds: 2_000,
            connect_milliseconds: 250,
            silence_milliseconds: 250,
            probe_milliseconds: 250,
            breaker_failures: 3,
            breaker_open_milliseconds: 250,
            retry_share: 0.2,
            retry_burst: 500,
            pool_idle: 256,
            trusted_proxies: Vec::new(),
            limits: LimitSettings::default(),
        }
    }
}

/// The `[gateway.limits]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitSettings {
    /// For each customer, by the token's subject.
    pub customer: RateSettings,
    /// For each administrator, by the token's subject.
    pub admin: RateSettings,
    /// For callers without a token, by address (IPv6: by /64).
    pub anonymous: RateSettings,
    /// For callers without a token from `localAddresses`: load generators, probes and development, where many
    /// callers share one address.
    pub local: RateSettings,
    /// The networks that `local` is for.
    pub local_addresses: Vec<String>,
    /// Callers remembered at most; the one not seen for longest makes room.
    pub max_callers: usize,
    /// Pause between two reconciliations with the other replicas, by way of Redis.
    pub share_milliseconds: u64,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            customer: RateSettings {
                per_second: 100.0,
                burst: 200.0,
            },
            admin: RateSettings {
                per_second: 1000.0,
                burst: 2000.0,
            },
            anonymous: RateSettings {
                per_second: 50.0,
                burst: 100.0,
            },
            local: RateSettings {
                per_second: 50_000.0,
                burst: 100_000.0,
            },
            local_addresses: vec!["127.0.0.0/8".to_owned(), "::1".to_owned()],
            max_callers: 65_536,
            share_milliseconds: 200,
        }
    }
}

/// One limit: a token bucket's rate and size.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateSettings {
    /// Requests a second in the long run.
    pub per_second: f64,
    /// Requests at once after a pause.
    pub burst: f64,
}

/// One `[upstreams.NAME]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamSettings {
    /// `host:port` of each replica.
    pub endpoints: Vec<String>,
    /// Whether each of them is the address of several replicas, as that of a Service of Kubernetes.
    #[serde(default)]
    pub shared: bool,
    /// Path prefixes that lead here. The shop's own services have theirs by name.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Time until the head of the answer, all tries together.
    #[serde(default = "default_timeout_milliseconds")]
    pub timeout_milliseconds: u64,
    /// Requests a worker has in flight to this upstream at most, so that a slow one cannot starve the others.
    #[serde(default = "default_upstream_in_flight")]
    pub max_in_flight: usize,
    /// Whether an `Idempotency-Key` makes a request repeatable here. It does where the service keeps keys, as order
    /// does, or changes nothing, as echo: the default for these two. A refresh token sent twice would end a session.
    #[serde(default)]
    pub repeat_keyed: Option<bool>,
    /// Paths where a token that is not good counts as none. By default those of auth that give tokens or end a
    /// session: a client refreshes because its token has expired.
    #[serde(default)]
    pub open_paths: Option<Vec<String>>,
    /// Whether that holds for every GET and HEAD. By default for product, whose catalogue is for everybody.
    #[serde(default)]
    pub open_reads: Option<bool>,
}

impl UpstreamSettings {
    /// Whether an `Idempotency-Key` makes a request repeatable at the upstream of this name.
    pub(crate) fn repeats_keyed(&self, name: &str) -> bool {
        self.repeat_keyed
            .unwrap_or(matches!(name, "order" | "echo"))
    }

    /// What of the upstream of this name is for everybody.
    pub(crate) fn open(&self, name: &str) -> Open {
        Open::new(name, self.open_paths.as_deref(), self.open_reads)
    }
}

fn default_timeout_milliseconds() -> u64 {
    10_000
}

fn default_upstream_in_flight() -> usize {
    2048
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A network could not be read.
    #[error("failed to read `gateway.{field}`")]
    Network {
        /// The setting.
        field: &'static str,
        /// The reason.
        #[source]
        source: NetworkError,
    },
    /// A number is out of its range.
    #[error("failed to accept `gateway.{field}`: {reason}")]
    Number {
        /// The setting.
        field: String,
        /// What it must be.
        reason: &'static str,
    },
    /// An upstream has no endpoint.
    #[error("failed to accept `upstreams.{name}`: `endpoints` is empty")]
    NoEndpoint {
        /// The upstream.
        name: String,
    },
    /// The routes do not make sense.
    #[error("failed to lay out the routes")]
    Route(#[from] RouteError),
}

/// The settings after all checks, in the shapes that the modules use.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    /// The raw settings, for the numbers.
    pub(crate) gateway: GatewaySettings,
    /// Where paths lead.
    pub(crate) routes: Routes,
    /// The upstreams, in the order that `routes` counts them.
    pub(crate) upstreams: Vec<(String, UpstreamSettings)>,
    /// Proxies that are believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Networks of local callers.
    pub(crate) local_addresses: Vec<Network>,
    /// Rates by class of caller.
    pub(crate) rates: Rates,
}

/// Checks the settings and builds what follows from them.
pub(crate) fn check(
    gateway: &GatewaySettings,
    upstreams: &BTreeMap<String, UpstreamSettings>,
) -> Result<Checked, SettingsError> {
    check_numbers(gateway)?;
    let limits = &gateway.limits;
    let rates = Rates::new([
        (Class::Customer, rate("customer", limits.customer)?),
        (Class::Admin, rate("admin", limits.admin)?),
        (Class::Anonymous, rate("anonymous", limits.anonymous)?),
        (Class::Local, rate("local", limits.local)?),
    ]);
    let upstreams: Vec<_> = upstreams
        .iter()
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect();
    if let Some((name, _)) = upstreams.iter().find(|(_, it)| it.endpoints.is_empty()) {
        return Err(SettingsError::NoEndpoint { name: name.clone() });
    }
    let routes = Routes::new(
        upstreams
            .iter()
            .map(|(name, it)| (name.as_str(), it.prefixes.as_slice())),
    )?;
    Ok(Checked {
        trusted_proxies: networks("trustedProxies", &gateway.trusted_proxies)?,
        local_addresses: networks("limits.localAddresses", &limits.local_addresses)?,
        gateway: gateway.clone(),
        routes,
        upstreams,
        rates,
    })
}

fn check_numbers(gateway: &GatewaySettings) -> Result<(), SettingsError> {
    let positive = [
        ("maxConnections", gateway.max_connections),
        ("maxInFlight", gateway.max_in_flight),
        ("limits.maxCallers", gateway.limits.max_callers),
    ];
    for (field, value) in positive {
        if value == 0 {
            return Err(number(field, "it must be at least 1"));
        }
    }
    let times = [
        ("shedDelayMilliseconds", gateway.shed_delay_milliseconds),
        ("headMilliseconds", gateway.head_milliseconds),
        ("bodyMilliseconds", gateway.body_milliseconds),
        ("stallMilliseconds", gateway.stall_milliseconds),
        ("idleSeconds", gateway.idle_seconds),
        ("connectMilliseconds", gateway.connect_milliseconds),
        ("silenceMilliseconds", gateway.silence_milliseconds),
        ("probeMilliseconds", gateway.probe_milliseconds),
        ("breakerOpenMilliseconds", gateway.breaker_open_milliseconds),
        (
            "limits.shareMilliseconds",
            gateway.limits.share_milliseconds,
        ),
    ];
    for (field, value) in times {
        if value == 0 {
            return Err(number(field, "a time must not be zero"));
        }
    }
    if gateway.max_head_bytes < 8192 {
        return Err(number("maxHeadBytes", "it must be at least 8192"));
    }
    if gateway.breaker_failures == 0 {
        return Err(number("breakerFailures", "it must be at least 1"));
    }
    if !(0.0..=1.0).contains(&gateway.retry_share) {
        return Err(number("retryShare", "it must lie between 0 and 1"));
    }
    Ok(())
}

fn number(field: &str, reason: &'static str) -> SettingsError {
    SettingsError::Number {
        field: field.to_owned(),
        reason,
    }
}

fn rate(name: &str, raw: RateSettings) -> Result<Rate, SettingsError> {
    Rate::new(raw.per_second, raw.burst).ok_or_else(|| {
        number(
            &format!("limits.{name}"),
            "`perSecond` must be above 0 and `burst` at least 1",
        )
    })
}

fn networks(field: &'static str, raw: &[String]) -> Result<Vec<Network>, SettingsError> {
    raw.iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map_err(|source| SettingsError::Network { field, source })
}

/// Milliseconds of a setting as a duration.
pub(crate) fn milliseconds(value: u64) -> Duration {
    Duration::from_millis(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(endpoints: &[&str]) -> BTreeMap<String, UpstreamSettings> {
        let settings = UpstreamSettings {
            endpoints: endpoints.iter().map(|&it| it.to_owned()).collect(),
            prefixes: Vec::new(),
            shared: false,
            timeout_milliseconds: 1000,
            max_in_flight: 10,
            repeat_keyed: None,
            open_paths: None,
            open_reads: None,
        };
        BTreeMap::from([("echo".to_owned(), settings)])
    }

    #[test]
    fn defaults_pass_their_own_checks() {
        let checked = check(&GatewaySettings::default(), &upstream(&["127.0.0.1:1"])).unwrap();
        assert_eq!(checked.upstreams[0].0, "echo");
        assert_eq!(checked.local_addresses.len(), 2);
    }

    #[test]
    fn an_upstream_without_endpoints_is_refused_by_name() {
        let error = check(&GatewaySettings::default(), &upstream(&[])).unwrap_err();
        assert!(error.to_string().contains("`upstreams.echo`"), "{error}");
    }

    #[test]
    fn a_wrong_network_names_its_setting() {
        let settings = GatewaySettings {
            trusted_proxies: vec!["10.0.0.0/40".to_owned()],
            ..Default::default()
        };
        let error = check(&settings, &upstream(&["127.0.0.1:1"])).unwrap_err();
        assert!(
            error.to_string().contains("gateway.trustedProxies"),
            "{error}"
        );
    }

    #[test]
    fn a_rate_of_zero_is_refused() {
        let mut settings = GatewaySettings::default();
        settings.limits.anonymous.per_second = 0.0;
        let error = check(&settings, &upstream(&["127.0.0.1:1"])).unwrap_err();
        assert!(error.to_string().contains("limits.anonymous"), "{error}");
    }
}
