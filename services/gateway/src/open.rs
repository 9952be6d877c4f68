//! Requests that are for everybody: a token that is not good counts as none there. Pure.
//!
//! A client whose access token has expired sends it along when it refreshes, logs in again or just looks at the
//! catalogue. To be refused for that would lock it out of what it could do without any token. To register is not among
//! these: auth takes an account's test tag from the token, and without a bad one it would be a real account.

use http::Method;

/// Paths for everybody that the shop's own services have without saying so.
const KNOWN_PATHS: [(&str, &[&str]); 1] = [(
    "auth",
    &[
        "/api/auth/login",
        "/api/auth/refresh",
        "/api/auth/logout",
        "/api/auth/.well-known/jwks.json",
    ],
)];

/// The services of the shop whose reads are for everybody.
const KNOWN_READS: [&str; 1] = ["product"];

/// What of an upstream is for everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    paths: Vec<String>,
    reads: bool,
}

impl Open {
    /// What the settings say, or else what is known of the upstream of this name.
    pub(crate) fn new(name: &str, paths: Option<&[String]>, reads: Option<bool>) -> Self {
        let known = KNOWN_PATHS.iter().filter(|(known, _)| *known == name);
        Self {
            paths: paths.map_or_else(
                || {
                    let paths = known.flat_map(|(_, paths)| *paths);
                    paths.map(|&path| path.to_owned()).collect()
                },
                <[String]>::to_vec,
            ),
            reads: reads.unwrap_or_else(|| KNOWN_READS.contains(&name)),
        }
    }

    /// Whether a request is for everybody.
    pub(crate) fn holds(&self, method: &Method, path: &str) -> bool {
        (self.reads && matches!(*method, Method::GET | Method::HEAD))
            || self.paths.iter().any(|open| open == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_services_have_their_open_requests() {
        let auth = Open::new("auth", None, None);
        assert!(auth.holds(&Method::POST, "/api/auth/refresh"));
        assert!(!auth.holds(&Method::POST, "/api/auth/refresh/more"));
        assert!(!auth.holds(&Method::GET, "/api/auth/me"));
        // Whom it registers for, and so whether the account is a test's, stands in the token.
        assert!(!auth.holds(&Method::POST, "/api/auth/register"));
        let product = Open::new("product", None, None);
        assert!(product.holds(&Method::GET, "/api/products"));
        assert!(product.holds(&Method::HEAD, "/api/products/1"));
        assert!(!product.holds(&Method::POST, "/api/products"));
        let order = Open::new("order", None, None);
        assert!(!order.holds(&Method::GET, "/api/orders"));
    }

    #[test]
    fn settings_come_before_what_is_known() {
        let paths = ["/api/auth/me".to_owned()];
        let auth = Open::new("auth", Some(&paths), Some(true));
        assert!(auth.holds(&Method::POST, "/api/auth/me"));
        assert!(!auth.holds(&Method::POST, "/api/auth/login"));
        assert!(auth.holds(&Method::GET, "/api/auth/anything"));
        assert!(!Open::new("product", None, Some(false)).holds(&Method::GET, "/api/products"));
    }
}
