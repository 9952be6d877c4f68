//! How long the other end of a connection may be silent: a machine that lost its power sends no goodbye.
//!
//! Without a limit the kernel repeats what was not acknowledged for a quarter of an hour, and whoever waits for the answer
//! waits with it. A client that makes its own sockets would be told; the one for Postgres is not, so its sockets are found
//! among those of the process.

use std::fs;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// How long sent data may stay without acknowledgment; as long as a statement may take.
const SILENCE: Duration = Duration::from_secs(5);
/// After so long without anything to send the other end is asked for a sign of life, and then again after so long.
const ASK_AFTER: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Ends the connections of this process to a port of others as soon as the other end has been silent for too long. What
/// the system refuses is left as it was.
pub(crate) fn limit(port: u16) {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let sockets = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let target = fs::read_link(entry.path()).ok()?;
        if !target.to_str()?.starts_with("socket:") {
            return None;
        }
        entry.file_name().to_str()?.parse().ok()
    });
    for number in sockets {
        limit_one(number, port);
    }
}

#[expect(
    unsafe_code,
    reason = "a descriptor by its number cannot be borrowed otherwise"
)]
fn limit_one(number: RawFd, port: u16) {
    // SAFETY: the number was this process's own a moment ago. If its owner has closed it since, the calls below fail, or
    // meet another socket, which is left alone unless it leads to the same port.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let socket = SockRef::from(&borrowed);
    let leads_there = socket
        .peer_addr()
        .ok()
        .and_then(|address| address.as_socket())
        .is_some_and(|address| address.port() == port);
    if leads_there {
        let keepalive = TcpKeepalive::new()
            .with_time(ASK_AFTER)
            .with_interval(ASK_AGAIN);
        // Without them it is only later that anybody knows.
        let _ = socket.set_tcp_keepalive(&keepalive);
        let _ = socket.set_tcp_user_timeout(Some(SILENCE));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_to_the_port_are_limited_and_others_are_not() {
        let [here, there] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [one, other] = [&here, &there]
            .map(|listener| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        limit(here.local_addr().unwrap().port());
        let limits = [&one, &other].map(|stream| {
            let socket = SockRef::from(stream);
            (
                socket.tcp_user_timeout().unwrap(),
                socket.keepalive().unwrap(),
            )
        });
        assert_eq!(limits, [(Some(SILENCE), true), (None, false)]);
    }
}
