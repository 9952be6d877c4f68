//! Which requests may be sent a second time, and how many. Pure.

use std::time::Instant;

use http::{HeaderMap, Method};

/// The header that makes repeating a request harmless.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Tries of one request at most, the first included.
pub(crate) const MAX_TRIES: u32 = 3;

/// Budget that accrues even without traffic, so that a quiet gateway can retry too: tries a second.
const QUIET_RATE: f64 = 10.0;

/// Whether sending the request twice has the effect of sending it once, at a service that keeps keys or does not.
pub(crate) fn is_repeatable(method: &Method, headers: &HeaderMap, keeps_keys: bool) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || (keeps_keys && headers.contains_key(IDEMPOTENCY_KEY))
}

/// A share of requests that may be tried again, saved up to a bound: enough when a replica dies, too little to
/// double the load on upstreams that are all slow.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    share: f64,
    most: f64,
    saved: f64,
    counted_at: Instant,
}

impl RetryBudget {
    /// A full budget of `burst` tries that regains `share` of a try with each request.
    pub(crate) fn new(share: f64, burst: u32, now: Instant) -> Self {
        let most = f64::from(burst);
        Self {
            share,
            most,
            saved: most,
            counted_at: now,
        }
    }

    /// A request came.
    pub(crate) fn deposit(&mut self) {
        self.saved = (self.saved + self.share).min(self.most);
    }

    /// Pays for another try, if there is enough.
    pub(crate) fn withdraw(&mut self, now: Instant) -> bool {
        if self.share > 0.0 {
            let elapsed = now.saturating_duration_since(self.counted_at).as_secs_f64();
            self.saved = (self.saved + elapsed * QUIET_RATE).min(self.most);
        }
        self.counted_at = now;
        let enough = self.saved >= 1.0;
        if enough {
            self.saved -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reads_are_repeatable_and_keyed_requests_where_keys_are_kept() {
        let none = HeaderMap::new();
        let keyed = HeaderMap::from_iter([(
            http::HeaderName::from_static(IDEMPOTENCY_KEY),
            "k".parse().unwrap(),
        )]);
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(is_repeatable(&method, &none, false), "{method}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert!(!is_repeatable(&method, &none, true), "{method}");
            assert!(is_repeatable(&method, &keyed, true), "{method}");
            assert!(!is_repeatable(&method, &keyed, false), "{method}");
        }
    }

    #[test]
    fn a_burst_is_allowed_and_then_the_share_of_requests() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.2, 10, now);
        assert_eq!((0..100).filter(|_| budget.withdraw(now)).count(), 10);
        for _ in 0..100 {
            budget.deposit();
        }
        // 100 requests regain 20 tries, of which 10 can be saved.
        assert_eq!((0..100).filter(|_| budget.withdraw(now)).count(), 10);
    }

    #[test]
    fn a_quiet_gateway_regains_tries_with_time() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.2, 1, now);
        assert!(budget.withdraw(now));
        assert!(!budget.withdraw(now));
        assert!(budget.withdraw(now + Duration::from_millis(101)));
    }

    #[test]
    fn a_share_of_zero_and_no_burst_forbid_retries() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.0, 0, now);
        budget.deposit();
        assert!(!budget.withdraw(now + Duration::from_mins(1)));
    }
}
