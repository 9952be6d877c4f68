//! A small environment file to start from.

use std::fmt::Write as _;

use super::{Connection, Host, HostRole};
use crate::value::HostName;

/// Why a text is no host to start from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostTextError {
    /// There is no address in it.
    #[error("there is no address in `{0}`")]
    NoAddress(String),
    /// What stands behind the colon is no port.
    #[error("`{0}` is no port")]
    Port(String),
}

/// Reads `user@host`, `host:port`, `[v6]:port`, or `local` for this machine.
pub fn read_host(text: &str, role: HostRole) -> Result<Host, HostTextError> {
    if text == "local" {
        return Ok(Host {
            role,
            connection: Connection::Local,
            ..Host::default()
        });
    }
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, text),
    };
    let (address, port) = match place.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        // An address with several colons is one of IPv6 without a port.
        None if place.matches(':').count() == 1 => place
            .split_once(':')
            .map_or((place, None), |(host, port)| (host, Some(port))),
        None => (place, None),
    };
    if address.is_empty() || user.as_deref() == Some("") {
        return Err(HostTextError::NoAddress(text.to_owned()));
    }
    let number = |port: &str| match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(HostTextError::Port(port.to_owned())),
    };
    Ok(Host {
        address: Some(address.to_owned()),
        port: port.map(number).transpose()?,
        user,
        role,
        ..Host::default()
    })
}

/// The text of a file with these hosts, and everything else left to the defaults.
pub fn starter(hosts: &[(HostName, Host)], schema: bool) -> String {
    let mut text = String::new();
    if schema {
        text.push_str("# yaml-language-server: $schema=environment.schema.json\n#\n");
    }
    text.push_str(
        "# `shopctl env show` prints all settings with their values, `shopctl env validate` checks this file.\n\n\
         target: k3s\n\nhosts:\n",
    );
    for (name, host) in hosts {
        // Writing to a text cannot fail.
        let _ = write!(text, "  {name}: {{ ");
        let mut fields = Vec::new();
        match &host.address {
            Some(address) => fields.push(format!("address: {}", quoted(address))),
            None => fields.push("connection: local".to_owned()),
        }
        fields.extend(host.port.map(|port| format!("port: {port}")));
        fields.extend(
            host.user
                .as_ref()
                .map(|user| format!("user: {}", quoted(user))),
        );
        let role = match host.role {
            HostRole::Server => "server",
            HostRole::Agent => "agent",
        };
        fields.push(format!("role: {role}"));
        let _ = writeln!(text, "{} }}", fields.join(", "));
    }
    let first = hosts.iter().find_map(|(_, host)| host.address.as_deref());
    let entry = first.filter(|address| !address.contains([':', '_', '%']));
    let _ = write!(
        text,
        "\ningress:\n  host: {} # the name that customers use; it must lead to the hosts\n  \
         tls: {{ kind: selfSigned }} # or `files` with `certificate` and `key`\n",
        quoted(entry.unwrap_or("localhost"))
    );
    text
}

/// A text that YAML takes for nothing else.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        && !matches!(
            text,
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<String>, Option<String>, Option<u16>) {
        let host = read_host(text, HostRole::Agent).unwrap();
        (host.user, host.address, host.port)
    }

    #[test]
    fn a_host_is_read_as_ssh_users_write_it() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("node"), (None, some("node"), None));
        assert_eq!(
            read("root@192.0.2.10:2222"),
            (some("root"), some("192.0.2.10"), Some(2222))
        );
        assert_eq!(
            read("a@[2001:db8::1]:22"),
            (some("a"), some("2001:db8::1"), Some(22))
        );
        assert_eq!(read("2001:db8::1"), (None, some("2001:db8::1"), None));
        let here = read_host("local", HostRole::Server).unwrap();
        assert_eq!(here.connection, Connection::Local);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "root@", "@node", ":22", "[]:22"] {
            assert!(read_host(text, HostRole::Server).is_err(), "{text:?}");
        }
        assert_eq!(
            read_host("node:ssh", HostRole::Server)
                .unwrap_err()
                .to_string(),
            "`ssh` is no port"
        );
        assert!(read_host("node:0", HostRole::Server).is_err());
    }
}
