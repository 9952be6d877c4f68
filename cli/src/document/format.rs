//! Texts that have a form of their own: each is judged by the type that will hold it.

use std::str::FromStr;

use crate::value::{ComponentName, Duration, EnvironmentName, Network, Quantity};

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
        _ => Ok(()),
    }
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
