//! Who listens on which port of this machine, as /proc tells.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    /// Its port.
    pub port: u16,
    /// The process that has it open, if it may be seen.
    pub pid: Option<i32>,
    /// That process' command line, shortened.
    pub command: Option<String>,
}

/// The state of a listening socket in /proc/net/tcp.
const LISTEN: &str = "0A";
/// So much of a command line is shown.
const COMMAND_LENGTH: usize = 80;

/// Everybody who listens on one of `ports`, at whatever address: nobody else could listen on 127.0.0.1 then.
pub(super) fn listeners(ports: &[u16]) -> Vec<Listener> {
    let mut by_inode: BTreeMap<u64, u16> = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        by_inode.extend(
            text.lines()
                .skip(1)
                .filter_map(listening)
                .filter(|(_, port)| ports.contains(port)),
        );
    }
    if by_inode.is_empty() {
        return Vec::new();
    }
    let holders = holders(&by_inode);
    let mut listeners: Vec<Listener> = by_inode
        .iter()
        .map(|(inode, port)| {
            let pid = holders.get(inode).copied();
            Listener {
                port: *port,
                pid,
                command: pid.and_then(command_of),
            }
        })
        .collect();
    listeners.sort_by_key(|listener| (listener.port, listener.pid));
    listeners
}

/// Inode and port of a listening socket that is bound to an address that 127.0.0.1 collides with.
fn listening(line: &str) -> Option<(u64, u16)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = fields.get(1)?.rsplit_once(':')?;
    let state = fields.get(3)?;
    let inode = fields.get(9)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let collides = address.chars().all(|digit| digit == '0')
        || address == "0100007F"
        || address == "0000000000000000FFFF00000100007F";
    (*state == LISTEN && collides).then_some((inode, port))
}

/// The processes that have these sockets open, by the sockets' inodes.
fn holders(sockets: &BTreeMap<u64, u16>) -> BTreeMap<u64, i32> {
    let mut holders = BTreeMap::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return holders;
    };
    for process in processes.filter_map(Result::ok) {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        for inode in open_sockets(&process.path()) {
            if sockets.contains_key(&inode) {
                // The parent of a process that inherited the socket has the lower number in the common case.
                holders
                    .entry(inode)
                    .and_modify(|known: &mut i32| *known = (*known).min(pid))
                    .or_insert(pid);
            }
        }
    }
    holders
}

fn open_sockets(process: &Path) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return Vec::new();
    };
    descriptors
        .filter_map(Result::ok)
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .filter_map(|target| {
            let target = target.to_string_lossy().into_owned();
            let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect()
}

fn command_of(pid: i32) -> Option<String> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&arguments)
        .trim_end_matches('\0')
        .replace('\0', " ");
    let short: String = text.chars().take(COMMAND_LENGTH).collect();
    (!short.is_empty()).then_some(short)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named_with_its_command() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = listeners(&[port]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].port, port);
        assert_eq!(found[0].pid, i32::try_from(std::process::id()).ok());
        assert!(found[0].command.as_ref().unwrap().contains("shopctl"));
        drop(socket);
        // A process that another test is starting holds a copy of the socket until it becomes its program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while !listeners(&[port]).is_empty() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(listeners(&[port]), []);
    }

    #[test]
    fn a_socket_on_another_address_of_this_machine_is_not_in_the_way() {
        let socket = TcpListener::bind("127.0.0.2:0").unwrap();
        assert_eq!(listeners(&[socket.local_addr().unwrap().port()]), []);
    }
}
