//! Texts that have a form of their own: each is judged by the type that will hold it.

use core::net::IpAddr;
use std::str::FromStr;

use crate::value::{ComponentName, Duration, EnvironmentName, HostName, Network, Quantity};

/// Why a text does not have its form.
pub(super) struct Misfit {
    /// What is wrong with it.
    pub(super) why: String,
    /// What the form is.
    pub(super) fix: &'static str,
}

/// Holds a text against a `format`. Formats that are not ours are only for editors.
pub(super) fn check_format(format: &str, text: &str) -> Result<(), Misfit> {
    const NAME: &str = "a name is made of a-z, 0-9 and `-`, and begins with a letter";
    match format {
        "shop-duration" => parse::<Duration>(
            text,
            "write a whole number and ms, s, m or h, as in 500ms, 10s, 5m or 24h",
        ),
        "shop-quantity" => parse::<Quantity>(
            text,
            "write a number and perhaps m, k, M, G, T, Ki, Mi, Gi or Ti, as in 500m, 2 or 256Mi",
        ),
        "shop-cidr" => parse::<Network>(
            text,
            "write an address or a network, as in 192.0.2.7, 10.0.0.0/8 or fd00::/8",
        ),
        "component-name" => parse::<ComponentName>(text, NAME),
        "environment-name" => parse::<EnvironmentName>(text, NAME),
        "host-name" => parse::<HostName>(text, NAME),
        "shop-currency" if !is_currency(text) => Err(Misfit {
            why: format!("`{}` is no currency", text.escape_debug()),
            fix: "write the three capital letters of its ISO 4217 code, as in EUR",
        }),
        "shop-version" if !is_version(text) => Err(Misfit {
            why: format!("`{}` is no version", text.escape_debug()),
            fix: "write numbers with dots between them, as in \"15\" or \"7.2\"",
        }),
        "shop-word" if !is_word(text) => Err(Misfit {
            why: format!(
                "`{}` cannot stand in a configuration file",
                text.escape_debug()
            ),
            fix: "write visible ASCII characters without blanks, quotes and backslashes",
        }),
        "shop-segment" if !is_segment(text) => Err(Misfit {
            why: format!("`{}` cannot stand in a path", text.escape_debug()),
            fix: "write visible ASCII characters without blanks, slashes and backslashes, and not only `.` or `..`",
        }),
        _ => place(format, text),
    }
}

/// Forms of texts that say where something is, and who may get there.
fn place(format: &str, text: &str) -> Result<(), Misfit> {
    let (fits, what, fix) = match format {
        "shop-address" => (
            is_address(text),
            "address of a host",
            "write an address, a name or a `Host` of ssh_config, as in 192.0.2.10 or node-1.example.com",
        ),
        "shop-ip" => (
            text.parse::<IpAddr>().is_ok(),
            "address",
            "write an address of IPv4 or IPv6, as in 192.0.2.10",
        ),
        "shop-user" => (
            is_user(text),
            "name of a user",
            "write the name of a user on the host, as in root or deploy",
        ),
        "shop-fingerprint" => (
            is_fingerprint(text),
            "fingerprint of a host key",
            "write what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host prints behind the bits: SHA256:…",
        ),
        "shop-path" => (
            !text.chars().any(char::is_control),
            "path",
            "write the path of a file, seen from this one",
        ),
        "shop-host-name" => (
            is_dns_name(text),
            "name of a host",
            "write labels of a-z, 0-9 and `-` with dots between them, as in shop.example.com",
        ),
        "shop-class" => (
            is_dns_name(text),
            "ingress class",
            "write the name of an IngressClass, as in traefik or nginx, or `none`",
        ),
        "shop-k3s-version" => (
            is_k3s_version(text),
            "release of k3s",
            "write it as its release is called, as in v1.34.3+k3s1",
        ),
        "shop-registry" => (
            is_registry(text),
            "registry",
            "write host, port and path without a scheme, as in registry.example.com:5000/shop",
        ),
        _ => return Ok(()),
    };
    if fits {
        return Ok(());
    }
    Err(Misfit {
        why: format!("`{}` is no {what}", text.escape_debug()),
        fix,
    })
}

fn parse<T: FromStr>(text: &str, fix: &'static str) -> Result<(), Misfit>
where
    T::Err: ToString,
{
    match text.parse::<T>() {
        Ok(_) => Ok(()),
        Err(error) => Err(Misfit {
            why: error.to_string(),
            fix,
        }),
    }
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// A text that every configuration format takes as one word, whatever it stands in.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b'\\'))
}

/// A text that is one segment of a path to everybody on its way. That it is not empty is for its length to say.
fn is_segment(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\'))
        && !matches!(text, "." | "..")
}

fn is_version(text: &str) -> bool {
    let mut parts = text.split('.');
    parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What ssh takes as a destination and can never take for an option.
fn is_address(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let begins = edge(text.bytes().next()) || text.starts_with('_') || text.starts_with(':');
    let ends = edge(text.bytes().last()) || text.ends_with(':');
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._:%-".contains(&byte);
    begins && ends && text.bytes().all(inner)
}

fn is_user(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_fingerprint(text: &str) -> bool {
    text.strip_prefix("SHA256:").is_some_and(|digest| {
        digest.len() == 43
            && digest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
    })
}

fn is_dns_name(text: &str) -> bool {
    text.split('.').all(|label| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

fn is_k3s_version(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let Some((release, build)) = text
        .strip_prefix('v')
        .and_then(|rest| rest.split_once("+k3s"))
    else {
        return false;
    };
    release.split('.').count() == 3 && release.split('.').all(number) && number(build)
}

fn is_registry(text: &str) -> bool {
    let mut parts = text.split('/');
    let authority = parts.next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "1"));
    let segment = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| inner(byte) || b"._-".contains(&byte))
            && part.bytes().next().is_some_and(inner)
            && part.bytes().last().is_some_and(inner)
    };
    // Without one of these containerd takes the first word for a path of Docker's own registry.
    let is_host = host == "localhost" || authority.contains(['.', ':']);
    is_host
        && is_dns_name(host)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
        && parts.all(segment)
}
