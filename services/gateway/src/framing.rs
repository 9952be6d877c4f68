//! Whether everybody on the way understands alike where a message ends and whom it is for. Pure.
//!
//! hyper frames messages well for itself (and makes one of equal `Content-Length`s), but is more forgiving than the next reader may be: what could be read in two
//! ways is refused here rather than passed on.

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING};
use http::{StatusCode, Version};

/// Why a request is refused, in words for the client.
pub(crate) type Flaw = &'static str;

/// Looks for what could be understood in two ways in a request's headers.
pub(crate) fn check_request(headers: &HeaderMap, version: Version) -> Result<(), Flaw> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if !is_host(host.as_bytes()) => {
            return Err("Host holds what no host can be called");
        }
        (Some(_), None) => {}
        (None, _) if version != Version::HTTP_11 => {}
        _ => return Err("exactly one Host is needed"),
    }
    if headers.contains_key(TRANSFER_ENCODING) && !is_chunked(headers) {
        return Err("the only Transfer-Encoding that is understood is `chunked`, once");
    }
    Ok(())
}

/// Whether an answer is one to pass on. A `Content-Length` beside a `Transfer-Encoding` means nothing, and goes.
pub(crate) fn settle_response(status: StatusCode, headers: &mut HeaderMap) -> bool {
    if headers.contains_key(TRANSFER_ENCODING) {
        if !is_chunked(headers) {
            return false;
        }
        headers.remove(CONTENT_LENGTH);
    }
    // Nobody asked for another protocol: `Upgrade` was taken off.
    status != StatusCode::SWITCHING_PROTOCOLS
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings
        .next()
        .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// Letters, digits and what else a host with a port may be written with; no user before it.
fn is_host(host: &[u8]) -> bool {
    host.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    #[test]
    fn requests_that_can_be_read_in_one_way_only_pass() {
        for lines in [
            &[("host", "shop.example:8080")][..],
            &[("host", "[::1]:80"), ("content-length", "3")],
            &[("host", ""), ("transfer-encoding", "Chunked")],
        ] {
            let outcome = check_request(&headers(lines), Version::HTTP_11);
            assert_eq!(outcome, Ok(()), "{lines:?}");
        }
        assert_eq!(check_request(&headers(&[]), Version::HTTP_10), Ok(()));
    }

    #[test]
    fn requests_that_could_be_read_in_two_ways_are_refused() {
        for lines in [
            &[][..],
            &[("host", "a"), ("host", "a")],
            &[("host", "a b")],
            &[("host", "a/../b")],
            &[("host", "user@a")],
            &[("host", "a"), ("transfer-encoding", "chunked, chunked")],
            &[("host", "a"), ("transfer-encoding", "identity, chunked")],
            &[
                ("host", "a"),
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
        ] {
            let outcome = check_request(&headers(lines), Version::HTTP_11);
            assert!(outcome.is_err(), "{lines:?}");
        }
    }

    #[test]
    fn answers_are_passed_on_only_with_a_framing_that_is_understood() {
        let mut both = headers(&[("content-length", "5"), ("transfer-encoding", "chunked")]);
        assert!(settle_response(StatusCode::OK, &mut both));
        assert!(!both.contains_key(CONTENT_LENGTH));
        let mut zipped = headers(&[("transfer-encoding", "gzip, chunked")]);
        assert!(!settle_response(StatusCode::OK, &mut zipped));
        let mut plain = headers(&[("content-length", "5")]);
        assert!(settle_response(StatusCode::OK, &mut plain));
        assert!(plain.contains_key(CONTENT_LENGTH));
        assert!(!settle_response(
            StatusCode::SWITCHING_PROTOCOLS,
            &mut plain
        ));
    }
}
