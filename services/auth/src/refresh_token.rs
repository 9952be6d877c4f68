//! Refresh tokens: what the client holds, and the hash that we keep.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

const SECRET_BYTES: usize = 32;

/// A refresh token. `Debug` hides it.
pub(crate) struct RefreshToken([u8; SECRET_BYTES]);

/// The SHA-256 of a token. A token has 256 random bits, so nothing slower is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefreshTokenHash([u8; 32]);

impl RefreshToken {
    /// A new token.
    pub(crate) fn generate() -> Self {
        Self(rand::rng().random())
    }

    /// Reads what a client sent; nothing if that cannot be a token of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The text for the client.
    pub(crate) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What we keep of it.
    pub(crate) fn hash(&self) -> RefreshTokenHash {
        RefreshTokenHash(Sha256::digest(self.0).into())
    }
}

impl RefreshTokenHash {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RefreshToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_as_itself() {
        let token = RefreshToken::generate();
        let read = RefreshToken::parse(&token.to_text()).unwrap();
        assert_eq!(read.hash(), token.hash());
        assert_eq!(token.to_text().len(), 43);
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(
            RefreshToken::generate().hash(),
            RefreshToken::generate().hash()
        );
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let token = RefreshToken::generate().to_text();
        for text in [
            "",
            "AAAA",
            &format!("{token}="),
            &format!("{token}A"),
            &token[1..],
        ] {
            assert!(RefreshToken::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn debug_output_hides_the_token() {
        assert_eq!(format!("{:?}", RefreshToken::generate()), "RefreshToken(…)");
    }
}
