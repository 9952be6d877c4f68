//! Which upstream a path leads to, and which paths are refused because two readers could understand them
//! differently. Pure: no request is touched here, and paths are never rewritten.

/// Prefixes that the shop's own services have without saying so.
const KNOWN_PREFIXES: [(&str, &str); 4] = [
    ("auth", "/api/auth"),
    ("echo", "/api/echo"),
    ("order", "/api/orders"),
    ("product", "/api/products"),
];

/// What is wrong with the routes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RouteError {
    /// No prefix is known for this name.
    #[error("failed to route to `{upstream}`: it needs `prefixes`")]
    NoPrefix {
        /// The upstream.
        upstream: String,
    },
    /// A prefix that could never match.
    #[error("failed to route `{prefix}`: a prefix looks like `/api/name`")]
    Malformed {
        /// The prefix.
        prefix: String,
    },
    /// Two upstreams want the same prefix.
    #[error("failed to route `{prefix}`: two upstreams claim it")]
    Twice {
        /// The prefix.
        prefix: String,
    },
}

/// A prefix and the upstream it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The prefix, without a slash at its end.
    pub(crate) prefix: String,
    /// The upstream's place in the order of the settings.
    pub(crate) upstream: usize,
}

/// All routes, longest prefix first.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    routes: Vec<Route>,
}

impl Routes {
    /// Lays out the routes of upstreams in their order; one without prefixes gets those that its name is known by.
    pub(crate) fn new<'a>(
        upstreams: impl Iterator<Item = (&'a str, &'a [String])>,
    ) -> Result<Self, RouteError> {
        let mut routes: Vec<Route> = Vec::new();
        for (upstream, (name, prefixes)) in upstreams.enumerate() {
            let known = KNOWN_PREFIXES
                .iter()
                .filter(|(known, _)| *known == name)
                .map(|(_, prefix)| *prefix);
            let wanted: Vec<&str> = if prefixes.is_empty() {
                known.collect()
            } else {
                prefixes.iter().map(String::as_str).collect()
            };
            if wanted.is_empty() {
                return Err(RouteError::NoPrefix {
                    upstream: name.to_owned(),
                });
            }
            for prefix in wanted {
                if prefix.len() < 2
                    || !prefix.starts_with('/')
                    || prefix.ends_with('/')
                    || check_path(prefix).is_err()
                {
                    return Err(RouteError::Malformed {
                        prefix: prefix.to_owned(),
                    });
                }
                if routes.iter().any(|route| route.prefix == prefix) {
                    return Err(RouteError::Twice {
                        prefix: prefix.to_owned(),
                    });
                }
                routes.push(Route {
                    prefix: prefix.to_owned(),
                    upstream,
                });
            }
        }
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Ok(Self { routes })
    }

    /// The place of the route for a path: the longest prefix that the path equals or goes on from with a slash.
    pub(crate) fn find(&self, path: &str) -> Option<usize> {
        self.routes.iter().position(|route| {
            path.strip_prefix(route.prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The routes, in the order that [`Routes::find`] counts them.
    pub(crate) fn all(&self) -> &[Route] {
        &self.routes
    }
}

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathRefusal {
    /// `.` or `..` as a segment, plain or encoded.
    #[error("the path holds a dot segment")]
    DotSegment,
    /// Two slashes in a row.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// `%2F`, `%5C` or a backslash.
    #[error("the path holds an encoded slash or a backslash")]
    HiddenSlash,
    /// A control character or a byte outside ASCII, plain or an encoded control character.
    #[error("the path holds a control character or a byte that is not ASCII")]
    Control,
    /// A percent sign that two hex digits do not follow.
    #[error("the path holds a broken percent encoding")]
    BrokenEncoding,
}

/// Refuses paths that the services behind could read differently than the gateway does.
pub(crate) fn check_path(path: &str) -> Result<(), PathRefusal> {
    let bytes = path.as_bytes();
    let mut index = 0;
    // Dots at the start of the segment so far; `None` once anything else has come.
    let mut dots: Option<usize> = None;
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        let meant = if byte == b'%' {
            let decoded = hex_pair(bytes.get(index), bytes.get(index + 1))
                .ok_or(PathRefusal::BrokenEncoding)?;
            index += 2;
            match decoded {
                b'/' | b'\\' => return Err(PathRefusal::HiddenSlash),
                0..=0x1f | 0x7f => return Err(PathRefusal::Control),
                // Encoded UTF-8 is fine: it stays encoded.
                other => other,
            }
        } else {
            match byte {
                b'\\' => return Err(PathRefusal::HiddenSlash),
                0..=0x20 | 0x7f..=0xff => return Err(PathRefusal::Control),
                other => other,
            }
        };
        if byte == b'/' {
            if index > 1 && bytes[index - 2] == b'/' {
                return Err(PathRefusal::EmptySegment);
            }
            if matches!(dots, Some(1 | 2)) {
                return Err(PathRefusal::DotSegment);
            }
            dots = Some(0);
        } else if meant == b'.' {
            dots = dots.map(|count| count + 1);
        } else {
            dots = None;
        }
    }
    if matches!(dots, Some(1 | 2)) {
        Err(PathRefusal::DotSegment)
    } else {
        Ok(())
    }
}

fn hex_pair(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    Some(digit(high?)? * 16 + digit(low?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Routes {
        Routes::new(
            ["auth", "echo", "order", "product"]
                .into_iter()
                .map(|name| (name, [].as_slice())),
        )
        .unwrap()
    }

    fn upstream_of(routes: &Routes, path: &str) -> Option<usize> {
        routes.find(path).map(|index| routes.all()[index].upstream)
    }

    #[test]
    fn a_path_goes_to_the_prefix_it_equals_or_continues() {
        let routes = shop();
        assert_eq!(upstream_of(&routes, "/api/auth/login"), Some(0));
        assert_eq!(upstream_of(&routes, "/api/echo"), Some(1));
        assert_eq!(upstream_of(&routes, "/api/orders/by-key/a"), Some(2));
        assert_eq!(upstream_of(&routes, "/api/products/"), Some(3));
    }

    #[test]
    fn a_longer_name_is_not_a_prefix() {
        let routes = shop();
        for path in [
            "/api/echoes",
            "/api/order",
            "/api/productsx",
            "/api",
            "/",
            "/internal/holds",
            "/API/echo",
        ] {
            assert_eq!(routes.find(path), None, "{path}");
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let deep = ["/api/echo/deep".to_owned()];
        let routes =
            Routes::new([("echo", [].as_slice()), ("deep", deep.as_slice())].into_iter()).unwrap();
        assert_eq!(upstream_of(&routes, "/api/echo/deep/x"), Some(1));
        assert_eq!(upstream_of(&routes, "/api/echo/deeper"), Some(0));
    }

    #[test]
    fn wrong_routes_are_refused() {
        let one =
            |name, prefixes: &[String]| Routes::new([(name, prefixes)].into_iter()).unwrap_err();
        assert_eq!(
            one("payment", &[]),
            RouteError::NoPrefix {
                upstream: "payment".to_owned()
            }
        );
        for prefix in ["", "/", "api", "/api/", "/a/../b"] {
            assert_eq!(
                one("payment", &[prefix.to_owned()]),
                RouteError::Malformed {
                    prefix: prefix.to_owned()
                }
            );
        }
        let twice = ["/a".to_owned(), "/a".to_owned()];
        assert_eq!(
            one("payment", &twice),
            RouteError::Twice {
                prefix: "/a".to_owned()
            }
        );
    }

    #[test]
    fn plain_paths_pass() {
        for path in [
            "/",
            "/api/echo",
            "/api/echo/",
            "/a/b.c/..d/...",
            "/a/%C3%A9",
            "/a/b%20c",
            "/a;b=c/@:$&'()*+,=~_-!",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        use PathRefusal::{BrokenEncoding, Control, DotSegment, EmptySegment, HiddenSlash};
        for (path, refusal) in [
            ("/api/echo/../auth", DotSegment),
            ("/api/echo/..", DotSegment),
            ("/api/./echo", DotSegment),
            ("/api/echo/%2e%2E/auth", DotSegment),
            ("/api/echo/.%2e", DotSegment),
            ("//api/echo", EmptySegment),
            ("/api//echo", EmptySegment),
            ("/api/echo%2fx", HiddenSlash),
            ("/api/echo%5Cx", HiddenSlash),
            ("/api\\echo", HiddenSlash),
            ("/api/%00", Control),
            ("/api/%0d%0a", Control),
            ("/api/a\u{7f}", Control),
            ("/api/é", Control),
            ("/api/%zz", BrokenEncoding),
            ("/api/%4", BrokenEncoding),
            ("/api/%", BrokenEncoding),
        ] {
            assert_eq!(check_path(path), Err(refusal), "{path}");
        }
    }
}
