//! Cursors: where the next page begins, as a text that callers pass on and do not read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// The cursor of the page that comes after a product.
pub(super) fn encode(last: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(last.as_bytes())
}

/// The product after which the page begins, if the text is a cursor.
pub(super) fn decode(cursor: &str) -> Option<Uuid> {
    Uuid::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_anything_else_is_none() {
        let id = Uuid::now_v7();
        assert_eq!(decode(&encode(id)), Some(id));
        for text in [
            "",
            "x",
            "AAAA",
            "ä",
            &encode(id)[1..],
            &format!("{}A", encode(id)),
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
