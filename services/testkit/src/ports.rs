//! Ports that are free now and that nothing of the shop uses by default.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Clear of the shop's defaults (8080, 15432 to 18450) and below the range from which Linux takes the ports of
/// outgoing connections: a port of that range can be taken between looking and binding.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port on 127.0.0.1 that nobody listens on; this process is given it only once.
pub fn free_port() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    for _ in 0..10_000 {
        let port = rand::random_range(RANGE);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("found no free port in {RANGE:?}");
}
