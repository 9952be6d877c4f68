//! What is wrong with a body or a query, in the words of whoever sent it. Pure.
//!
//! serde says it in the words of our types (`invalid type: string "2", expected u32 at line 1 column 14`). Callers know
//! fields, texts and numbers, so its few forms are told again in those. What a type of ours says itself stays.

/// Tells again what serde said about the value at a path such as `items[0].productId`.
pub(crate) fn explain(path: &str, message: &str) -> String {
    let message = without_place(message);
    let name = name(path);
    if let Some(field) = quoted_after(message, "missing field ") {
        return format!("{} is missing", self::name(&below(path, field)));
    }
    if let Some(field) = quoted_after(message, "duplicate field ") {
        return format!("`{field}` is given twice");
    }
    if let Some(field) = quoted_after(message, "unknown field ") {
        return match message.split_once(", expected ") {
            Some((_, known)) => format!("`{field}` is not known here; known: {}", listed(known)),
            None => format!("`{field}` is not known here"),
        };
    }
    if let Some((_, known)) = message
        .strip_prefix("unknown variant ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{name} must be one of {}", listed(known));
    }
    for form in ["invalid type: ", "invalid value: "] {
        if let Some((got, expected)) = message
            .strip_prefix(form)
            .and_then(|rest| rest.rsplit_once(", expected "))
        {
            return format!("{name} must be {}, not {}", wanted(expected), given(got));
        }
    }
    if message.starts_with("invalid length ") && message.contains(" struct ") {
        return format!("{name} must be an object, not a list");
    }
    if message.starts_with("invalid length ") {
        return format!("{name} does not have the right number of items");
    }
    if message.starts_with("UUID parsing failed") {
        return format!("{name} must be {UUID}");
    }
    if is_about_a_number(message) {
        return format!("{name} must be a whole number within its bounds");
    }
    if is_about_a_time(message) {
        return format!("{name} must be {TIME}");
    }
    format!("{name}: {message}")
}

const UUID: &str = "a UUID such as 0190a5d4-7f3e-7c9a-b1c2-0a1b2c3d4e5f";
const TIME: &str = "a time such as 2026-01-31T18:00:00Z";

/// A value, as messages call it.
fn name(path: &str) -> String {
    match path {
        "" | "." => "the body".to_owned(),
        path => format!("`{path}`"),
    }
}

fn below(path: &str, field: &str) -> String {
    match path {
        "" | "." => field.to_owned(),
        path => format!("{path}.{field}"),
    }
}

/// Takes off where in the text it was: callers see the field.
fn without_place(message: &str) -> &str {
    match message.rfind(" at line ") {
        Some(place) => &message[..place],
        None => message,
    }
}

fn quoted_after<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    let rest = message.strip_prefix(start)?.strip_prefix('`')?;
    let end = rest
        .find("`, expected ")
        .or_else(|| rest.find("`, there are no fields"))
        .or_else(|| rest.rfind('`'))?;
    Some(&rest[..end])
}

/// ``one of `a`, `b` `` and `` `a` or `b` `` as `` `a`, `b` ``.
fn listed(known: &str) -> String {
    let known = known.strip_prefix("one of ").unwrap_or(known);
    known.replace(" or ", ", ")
}

/// What should be there.
fn wanted(expected: &str) -> String {
    let whole = |least: &str, most: &str| format!("a whole number from {least} to {most}");
    match expected {
        "u8" => whole("0", "255"),
        "u16" => whole("0", "65535"),
        "u32" => whole("0", "4294967295"),
        "i8" | "i16" | "i32" | "i64" | "u64" | "usize" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" | "string" | "a borrowed string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        other if other.contains("UUID") => UUID.to_owned(),
        other if other.contains("RFC3339") || other.contains("OffsetDateTime") => TIME.to_owned(),
        other if other.starts_with("struct ") || other == "a map" => "an object".to_owned(),
        other if other.starts_with("a sequence") => "a list".to_owned(),
        // Other names are those of types: they say nothing to a caller.
        _ => "of another form".to_owned(),
    }
}

/// What is there instead. Texts are not repeated: they may be long, or a password in the wrong place.
fn given(got: &str) -> String {
    let kind = got.split(' ').next().unwrap_or_default();
    let number = got
        .split('`')
        .nth(1)
        .filter(|_| matches!(kind, "integer" | "floating" | "boolean"));
    match (kind, number) {
        (_, Some(number)) => number.to_owned(),
        ("string" | "character", _) => "a text".to_owned(),
        ("null" | "unit" | "Option", _) => "null".to_owned(),
        ("sequence", _) => "a list".to_owned(),
        ("map", _) => "an object".to_owned(),
        _ => "what was sent".to_owned(),
    }
}

fn is_about_a_number(message: &str) -> bool {
    [
        "invalid digit found in string",
        "cannot parse integer from empty string",
        "number too large to fit in target type",
        "number too small to fit in target type",
        "number out of range",
    ]
    .contains(&message)
}

fn is_about_a_time(message: &str) -> bool {
    message.ends_with("component could not be parsed")
        || message.ends_with("must be in the range")
        || message.contains("was not in range")
        || message.contains("literal was not valid")
        || message.starts_with("unexpected trailing characters")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "only its form matters")]
    struct Order {
        product_id: Uuid,
        quantity: u32,
        #[serde(default)]
        gift: bool,
        #[serde(default)]
        colors: Vec<Color>,
        #[serde(default)]
        note: String,
        #[serde(default, with = "time::serde::rfc3339::option")]
        due: Option<OffsetDateTime>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Color {
        Red,
        Blue,
    }

    fn told(body: &str) -> String {
        let mut json = serde_json::Deserializer::from_str(body);
        let error = serde_path_to_error::deserialize::<_, Order>(&mut json).unwrap_err();
        explain(&error.path().to_string(), &error.inner().to_string())
    }

    /// A good order with one field more or instead.
    fn with(field: &str) -> String {
        let good = r#""productId":"0190a5d4-7f3e-7c9a-b1c2-0a1b2c3d4e5f""#;
        told(&format!("{{{good},{field}}}"))
    }

    #[test]
    fn fields_are_named_and_what_they_should_be() {
        assert_eq!(told("{}"), "`productId` is missing");
        assert_eq!(told("[]"), "the body must be an object, not a list");
        assert_eq!(told("3"), "the body must be an object, not 3");
        assert_eq!(told("null"), "the body must be an object, not null");
        let whole = "`quantity` must be a whole number from 0 to 4294967295, not";
        assert_eq!(with(r#""quantity":"2""#), format!("{whole} a text"));
        assert_eq!(with(r#""quantity":-1"#), format!("{whole} -1"));
        assert_eq!(with(r#""quantity":1.5"#), format!("{whole} 1.5"));
        assert_eq!(with(r#""quantity":null"#), format!("{whole} null"));
        assert_eq!(
            with(r#""quantity":1,"gift":3"#),
            "`gift` must be true or false, not 3"
        );
        assert_eq!(
            with(r#""quantity":1,"note":[1]"#),
            "`note` must be a text, not a list"
        );
        assert_eq!(
            with(r#""quantity":1,"colors":["green"]"#),
            "`colors[0]` must be one of `red`, `blue`"
        );
        assert_eq!(
            with(r#""quantity":1,"colors":{}"#),
            "`colors` must be a list, not an object"
        );
        assert_eq!(
            with(r#""quantity":1,"quantity":2"#),
            "`quantity` is given twice"
        );
        assert_eq!(
            with(r#""price":1"#),
            "`price` is not known here; known: `productId`, `quantity`, `gift`, `colors`, `note`, `due`"
        );
    }

    #[test]
    fn uuids_and_times_are_described() {
        for body in [r#"{"productId":"x"}"#, r#"{"productId":7}"#] {
            let told = told(body);
            assert!(
                told.starts_with("`productId` must be a UUID such as"),
                "{told}"
            );
        }
        for due in [r#""tomorrow""#, r#""2026-13-01T00:00:00Z""#, "7"] {
            let told = with(&format!(r#""quantity":1,"due":{due}"#));
            assert!(told.starts_with("`due` must be a time such as"), "{told}");
        }
    }

    #[test]
    fn what_a_caller_sent_is_not_taken_for_serdes_own_words() {
        let odd = r#""a`, expected `b":1"#;
        assert!(with(odd).contains("is not known here"), "{}", with(odd));
        let secret = with(r#""quantity":"hunter2, expected u8""#);
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn numbers_of_a_query_are_described() {
        for message in [
            "invalid digit found in string",
            "number too large to fit in target type",
        ] {
            assert_eq!(
                explain("limit", message),
                "`limit` must be a whole number within its bounds"
            );
        }
    }

    #[test]
    fn the_words_of_our_own_types_stay() {
        assert_eq!(
            explain("test", "a tag has at most 64 characters at line 1 column 9"),
            "`test`: a tag has at most 64 characters"
        );
    }
}
