//! What happens to headers at this hop: what is taken off, and what is put on. Pure.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, VIA,
};

use crate::address::{Network, is_in};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// How this hop names itself in `Via`.
const PSEUDONYM: &str = "1.1 shop-gateway";

/// Whether a header belongs to one connection only, or asks for what this hop does itself (`expect`).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
    )
}

/// Whether a header claims an identity. In the shop only the bearer token does that.
fn claims_identity(name: &str) -> bool {
    // Some readers take `_` for `-`.
    if name.contains('_') {
        return claims_identity(&name.replace('_', "-"));
    }
    matches!(name, "x-customer-id" | "x-role" | "x-forwarded-user") || name.starts_with("x-shop-")
}

/// Whether a header tells what proxies before this one saw.
fn is_forwarding(name: &str) -> bool {
    if name.contains('_') {
        return is_forwarding(&name.replace('_', "-"));
    }
    name == "forwarded" || name.starts_with("x-forwarded-") || name == "x-real-ip"
}

/// Takes off what a caller may not hand to the services. Forwarding headers of a trusted proxy stay, but for
/// `Forwarded` and `X-Real-IP`: this hop speaks `X-Forwarded-*` only, and two stories would contradict each other.
pub(crate) fn strip_request(headers: &mut HeaderMap, from_trusted_proxy: bool) {
    strip(headers, |name| {
        is_hop_by_hop(name)
            || claims_identity(name)
            || (is_forwarding(name) && !(from_trusted_proxy && name.starts_with("x-forwarded-")))
    });
}

/// Takes off what an upstream's connection says about itself.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip(headers, is_hop_by_hop);
}

fn strip(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    // Almost no message has anything to take off, and then nothing is allocated.
    let mut going: Vec<HeaderName> = headers
        .keys()
        .filter(|name| goes(name.as_str()))
        .cloned()
        .collect();
    if headers.contains_key(CONNECTION) {
        going.extend(named_by_connection(headers));
    }
    for name in going {
        headers.remove(name);
    }
}

/// The headers that `Connection` declares to be of this hop. What frames or routes the message is not among them,
/// whatever the caller says.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name))
        .collect()
}

/// Says for whom the request is forwarded. Lines of a trusted proxy are continued, others were taken off before.
pub(crate) fn put_forwarding(
    headers: &mut HeaderMap,
    peer: &HeaderValue,
    from_trusted_proxy: bool,
) {
    let chain = if from_trusted_proxy {
        continued_chain(headers, peer)
    } else {
        None
    };
    headers.insert(FORWARDED_FOR, chain.unwrap_or_else(|| peer.clone()));
    if !from_trusted_proxy || !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if (!from_trusted_proxy || !headers.contains_key(FORWARDED_HOST))
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(FORWARDED_HOST, host);
    }
    headers.append(VIA, HeaderValue::from_static(PSEUDONYM));
}

/// The lines of `X-Forwarded-For` as one, with the peer at its end.
fn continued_chain(headers: &HeaderMap, peer: &HeaderValue) -> Option<HeaderValue> {
    let before = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(HeaderValue::as_bytes);
    let all: Vec<&[u8]> = before.chain([peer.as_bytes()]).collect();
    HeaderValue::from_bytes(&all.join(b", ".as_slice())).ok()
}

/// Whether the peer is a proxy whose forwarding headers are believed.
pub(crate) fn is_trusted(peer: IpAddr, trusted: &[Network]) -> bool {
    !trusted.is_empty() && is_in(trusted, peer)
}

/// The lines of `X-Forwarded-For`, for [`crate::address::client_address`].
pub(crate) fn forwarded_for(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn hop_by_hop_headers_and_those_named_by_connection_are_taken_off() {
        let mut seen = headers(&[
            ("host", "shop"),
            ("connection", "keep-alive, X-Private"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("x-kept", "1"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic x"),
            ("expect", "100-continue"),
        ]);
        strip_request(&mut seen, false);
        assert_eq!(names(&seen), ["host", "x-kept"]);
    }

    #[test]
    fn connection_cannot_take_off_what_frames_the_message() {
        let mut seen = headers(&[
            ("connection", "host, content-length, close"),
            ("host", "shop"),
            ("content-length", "3"),
        ]);
        strip_request(&mut seen, false);
        assert_eq!(names(&seen), ["content-length", "host"]);
    }

    #[test]
    fn identity_claimed_by_headers_is_taken_off_even_behind_a_trusted_proxy() {
        for trusted in [false, true] {
            let mut seen = headers(&[
                ("x-customer-id", "1"),
                ("x-role", "admin"),
                ("x-forwarded-user", "admin"),
                ("x-shop-anything", "1"),
                ("X-Shop-", "1"),
                ("X_Customer_Id", "1"),
                ("x-shop_role", "admin"),
                ("x_forwarded_for", "6.6.6.6"),
                ("authorization", "Bearer t"),
                ("x-request-id", "r"),
            ]);
            strip_request(&mut seen, trusted);
            assert_eq!(names(&seen), ["authorization", "x-request-id"]);
        }
    }

    #[test]
    fn a_strangers_forwarding_headers_are_replaced() {
        let mut seen = headers(&[
            ("host", "shop.example"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-prefix", "/evil"),
        ]);
        strip_request(&mut seen, false);
        put_forwarding(&mut seen, &HeaderValue::from_static("192.0.2.1"), false);
        assert_eq!(seen["x-forwarded-for"], "192.0.2.1");
        assert_eq!(seen["x-forwarded-proto"], "http");
        assert_eq!(seen["x-forwarded-host"], "shop.example");
        assert_eq!(
            names(&seen),
            [
                "host",
                "via",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto"
            ]
        );
    }

    #[test]
    fn a_trusted_proxys_forwarding_headers_are_continued() {
        let mut seen = headers(&[
            ("host", "inner"),
            ("via", "1.1 edge"),
            ("forwarded", "for=192.0.2.9"),
            ("x-forwarded-for", "192.0.2.9"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
        ]);
        strip_request(&mut seen, true);
        put_forwarding(&mut seen, &HeaderValue::from_static("10.0.0.1"), true);
        assert_eq!(seen["x-forwarded-for"], "192.0.2.9, 10.0.0.2, 10.0.0.1");
        assert_eq!(seen["x-forwarded-proto"], "https");
        assert_eq!(seen["x-forwarded-host"], "shop.example");
        assert_eq!(
            seen.get_all("via").iter().collect::<Vec<_>>(),
            ["1.1 edge", PSEUDONYM]
        );
        assert!(!seen.contains_key("forwarded"));
    }
}
