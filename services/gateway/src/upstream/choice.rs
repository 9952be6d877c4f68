//! One upstream: which of its endpoints gets the next request.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::endpoint::{Endpoint, EndpointLimits};
use crate::retry::MAX_TRIES;
use crate::shared::Circuits;

/// Numbers that an upstream keeps to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpstreamLimits {
    /// Time until the head of the answer, all tries together.
    pub(crate) timeout: Duration,
    /// Requests in flight at most.
    pub(crate) in_flight: usize,
    /// Whether an `Idempotency-Key` makes a request repeatable.
    pub(crate) repeat_keyed: bool,
    /// For each endpoint.
    pub(crate) endpoint: EndpointLimits,
}

/// A service behind the gateway, as one worker knows it.
pub(crate) struct Upstream {
    name: String,
    endpoints: Vec<Rc<Endpoint>>,
    limits: UpstreamLimits,
    next: Cell<usize>,
    in_flight: Cell<usize>,
}

impl Upstream {
    /// An upstream with its endpoints, all believed to be well.
    pub(crate) fn new(
        name: &str,
        endpoints: &[String],
        limits: UpstreamLimits,
        circuits: &Circuits,
    ) -> Self {
        Self {
            name: name.to_owned(),
            endpoints: endpoints
                .iter()
                .map(|authority| Endpoint::new(name, authority, limits.endpoint, circuits.clone()))
                .collect(),
            limits,
            next: Cell::new(0),
            in_flight: Cell::new(0),
        }
    }

    /// The name in the settings.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The numbers it keeps to.
    pub(crate) fn limits(&self) -> &UpstreamLimits {
        &self.limits
    }

    /// All endpoints.
    pub(crate) fn endpoints(&self) -> &[Rc<Endpoint>] {
        &self.endpoints
    }

    /// Whether there is room for another request.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.get() < self.limits.in_flight
    }

    /// How often a request is tried at most. Where replicas share an address, each try may meet the one that is gone.
    pub(crate) fn most_tries(&self) -> usize {
        let tries = MAX_TRIES as usize;
        if self.limits.endpoint.shared {
            tries * 2
        } else {
            tries
        }
    }

    /// Counts a request in flight until the guard is dropped.
    pub(crate) fn in_flight(&self) -> &Cell<usize> {
        &self.in_flight
    }

    /// The available endpoint that owes the fewest answers; equals take turns. One that was tried is chosen again
    /// only if no other is available.
    pub(crate) fn choose(&self, tried: &[Rc<Endpoint>]) -> Option<Rc<Endpoint>> {
        let count = self.endpoints.len();
        let first = self.next.get() % count.max(1);
        self.next.set(first + 1);
        let was_tried = |endpoint: &Rc<Endpoint>| tried.iter().any(|it| Rc::ptr_eq(it, endpoint));
        (0..count)
            .map(|step| &self.endpoints[(first + step) % count])
            .filter(|endpoint| endpoint.is_available())
            .min_by_key(|endpoint| (was_tried(endpoint), endpoint.owed()))
            .cloned()
    }

    /// Whether another try may be answered by another replica than this endpoint's that answered last.
    pub(crate) fn may_meet_another(&self, endpoint: &Rc<Endpoint>) -> bool {
        self.limits.endpoint.shared || self.has_other(endpoint)
    }

    /// Whether an endpoint other than this one is available.
    pub(crate) fn has_other(&self, endpoint: &Rc<Endpoint>) -> bool {
        self.endpoints
            .iter()
            .any(|it| !Rc::ptr_eq(it, endpoint) && it.is_available())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::breaker::Fault;

    fn upstream(count: usize) -> Upstream {
        upstream_of(count, false)
    }

    fn upstream_of(count: usize, shared: bool) -> Upstream {
        let second = Duration::from_secs(1);
        let endpoint = EndpointLimits {
            connect: second,
            probe: second,
            silence: second,
            idle: 1,
            idle_time: second,
            failures: 1,
            open: second,
            shared,
        };
        let names: Vec<String> = (0..count)
            .map(|index| format!("127.0.0.1:{}", index + 1))
            .collect();
        Upstream::new(
            "echo",
            &names,
            UpstreamLimits {
                timeout: second,
                in_flight: 1,
                repeat_keyed: false,
                endpoint,
            },
            &Circuits::new(count),
        )
    }

    #[test]
    fn equal_endpoints_take_turns() {
        let upstream = upstream(3);
        let chosen: Vec<String> = (0..6)
            .map(|_| upstream.choose(&[]).unwrap().name())
            .collect();
        assert_eq!(chosen[..3], chosen[3..]);
        assert_eq!(
            std::collections::HashSet::<&String>::from_iter(&chosen).len(),
            3
        );
    }

    #[test]
    fn an_open_circuit_is_passed_over_and_none_is_left_when_all_are_open() {
        let upstream = upstream(2);
        upstream.endpoints[0].failed(Fault::Unreachable, Instant::now());
        for _ in 0..4 {
            assert!(Rc::ptr_eq(
                &upstream.choose(&[]).unwrap(),
                &upstream.endpoints[1]
            ));
        }
        assert!(!upstream.has_other(&upstream.endpoints[1]));
        upstream.endpoints[1].failed(Fault::Unreachable, Instant::now());
        assert!(upstream.choose(&[]).is_none());
    }

    #[test]
    fn an_address_of_several_is_tried_again_whoever_of_them_was_gone() {
        let upstream = upstream_of(1, true);
        let endpoint = upstream.choose(&[]).unwrap();
        endpoint.failed(Fault::Unreachable, Instant::now());
        let tried = [Rc::clone(&endpoint)];
        assert!(Rc::ptr_eq(&upstream.choose(&tried).unwrap(), &endpoint));
        assert!(upstream.may_meet_another(&endpoint));
        assert!(!upstream.has_other(&endpoint), "a probe may be in no haste");
        assert!(upstream.most_tries() > upstream_of(2, false).most_tries());
    }

    #[test]
    fn a_tried_endpoint_is_the_last_resort() {
        let upstream = upstream(2);
        let tried = [Rc::clone(&upstream.endpoints[0])];
        for _ in 0..4 {
            assert!(Rc::ptr_eq(
                &upstream.choose(&tried).unwrap(),
                &upstream.endpoints[1]
            ));
        }
        upstream.endpoints[1].failed(Fault::Unreachable, Instant::now());
        assert!(Rc::ptr_eq(
            &upstream.choose(&tried).unwrap(),
            &upstream.endpoints[0]
        ));
    }
}
