//! What a scalar means: booleans are `true` and `false`, numbers are decimal, everything else is a text.

use super::Value;

/// The value of a scalar.
pub(super) fn scalar(text: &str, quoted: bool) -> Value {
    let as_text = || Value::Text {
        text: text.to_owned(),
        quoted,
    };
    if quoted {
        return as_text();
    }
    match text {
        "" | "~" | "null" => return Value::Null,
        "true" => return Value::Boolean(true),
        "false" => return Value::Boolean(false),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let decimal = digits.starts_with(|c: char| c.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0') || digits.starts_with("0."));
    if decimal && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_or_else(|_| as_text(), Value::Integer);
    }
    if decimal
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::Float(number),
            _ => as_text(),
        };
    }
    as_text()
}
