//! How many sale locks an order process has found not to be its own any more when it released them: it counts them.

use std::time::Duration;

use crate::environment::Environment;

/// The service that takes sale locks, and the port on which it tells what it has counted.
const SERVICE: (&str, &str) = ("order", "admin");
/// What it counts.
const COUNTER: &str = "shop_order_lock_releases_total{outcome=\"stale\"}";
/// How long it may take to tell.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where an order process tells what it has counted.
#[derive(Clone, Debug)]
pub struct StaleReleases {
    url: String,
    client: reqwest::Client,
}

impl StaleReleases {
    /// Those of an instance on this machine; none if it is no order process.
    pub fn of(environment: &Environment, instance: &str) -> Option<Self> {
        let first = environment
            .components
            .get(SERVICE.0)?
            .ports
            .get(SERVICE.1)?;
        let ordinal: u16 = instance
            .strip_prefix(SERVICE.0)?
            .strip_prefix('-')?
            .parse()
            .ok()?;
        Self::on_port(first.checked_add(ordinal)?)
    }

    /// Those of the order process that a port of this machine leads to.
    pub fn on_port(port: u16) -> Option<Self> {
        Some(Self {
            url: format!("http://127.0.0.1:{port}/metrics"),
            client: reqwest::Client::builder().no_proxy().build().ok()?,
        })
    }

    /// The service whose processes tell this, and the port on which they do.
    pub const TOLD_BY: (&str, &str) = SERVICE;

    /// How many there were since the process began; none if it does not answer.
    pub async fn count(&self) -> Option<u64> {
        let request = self.client.get(&self.url).timeout(PATIENCE);
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        Some(parse(&answer.text().await.ok()?))
    }
}

/// A counter that is not there has counted nothing yet.
fn parse(metrics: &str) -> u64 {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(COUNTER)?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_among_others() {
        let metrics = "# TYPE shop_order_lock_releases_total counter\n\
                       shop_order_lock_releases_total{outcome=\"released\"} 12\n\
                       shop_order_lock_releases_total{outcome=\"stale\"} 3\n";
        assert_eq!(parse(metrics), 3);
        assert_eq!(parse("# nothing was released yet\n"), 0);
    }
}
