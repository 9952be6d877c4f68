//! Checks tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::claims::Claims;
use crate::jwks::Jwks;
use crate::unix_now;

/// How far the clocks of issuer and verifier may be apart.
pub const LEEWAY_SECONDS: i64 = 30;

/// A longer token is refused unread: ours have some 500 bytes.
pub const MAXIMUM_TOKEN_BYTES: usize = 4096;

/// Verifies tokens of one issuer for one audience with a set of published keys.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Jwks,
    issuer: String,
    audience: String,
}

/// Why a token is not good.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifyError {
    /// The text is no token of ours.
    #[error("failed to read the token: {0}")]
    Malformed(&'static str),
    /// The token names an algorithm other than `EdDSA`.
    #[error("failed to verify the token: its algorithm is not EdDSA")]
    Algorithm,
    /// No published key has the token's key id. It may be newer than the keys at hand, so it is
    /// worth fetching them again (not for every such token: anybody can invent ids).
    #[error("failed to find the key that the token names")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("failed to verify the token: wrong signature")]
    Signature,
    /// The token comes from somebody else.
    #[error("failed to verify the token: wrong issuer")]
    Issuer,
    /// The token is meant for somebody else.
    #[error("failed to verify the token: wrong audience")]
    Audience,
    /// The token has ended.
    #[error("failed to verify the token: it has expired")]
    Expired,
    /// The token is from the future.
    #[error("failed to verify the token: it is not valid yet")]
    NotYetValid,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that a verifier must understand; we understand none (RFC 7515, 4.1.11).
    crit: Option<IgnoredAny>,
}

impl Verifier {
    /// A verifier of tokens from `issuer` for `audience`.
    pub fn new(keys: &Jwks, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            keys: keys.clone(),
            issuer: issuer.into(),
            audience: audience.into(),
        }
    }

    /// The keys that this verifier knows.
    pub fn keys(&self) -> &Jwks {
        &self.keys
    }

    /// The claims of a token, if it is good now.
    pub fn verify(&self, token: &str) -> Result<Claims, VerifyError> {
        self.verify_at(token, unix_now())
    }

    /// The claims of a token, if it is good at `now` (in seconds since the epoch).
    pub fn verify_at(&self, token: &str, now: i64) -> Result<Claims, VerifyError> {
        if token.len() > MAXIMUM_TOKEN_BYTES {
            return Err(VerifyError::Malformed("it is too long"));
        }
        let (message, signature) = token
            .rsplit_once('.')
            .ok_or(VerifyError::Malformed("it has no signature"))?;
        let (header, payload) = message
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or(VerifyError::Malformed("it does not have three parts"))?;

        let header: Header = decode(header, "its header is no JSON of ours")?;
        if header.alg != "EdDSA" {
            return Err(VerifyError::Algorithm);
        }
        if header.crit.is_some() {
            return Err(VerifyError::Malformed("it asks for extensions"));
        }
        let id = header
            .kid
            .ok_or(VerifyError::Malformed("it names no key"))?;
        let key = self.keys.find(&id).ok_or(VerifyError::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .ok()
            .and_then(|bytes| <[u8; 64]>::try_from(bytes).ok())
            .ok_or(VerifyError::Malformed("its signature has a wrong form"))?;
        if !key.verifies(message.as_bytes(), &signature) {
            return Err(VerifyError::Signature);
        }
        // Only now is the payload known to come from a holder of the key.
        let claims = decode(payload, "its claims are not ours")?;
        self.check(&claims, now)?;
        Ok(claims)
    }

    fn check(&self, claims: &Claims, now: i64) -> Result<(), VerifyError> {
        if claims.iss != self.issuer {
            return Err(VerifyError::Issuer);
        }
        if claims.aud != self.audience {
            return Err(VerifyError::Audience);
        }
        if claims.exp.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(VerifyError::Expired);
        }
        if claims.iat.saturating_sub(LEEWAY_SECONDS) > now {
            return Err(VerifyError::NotYetValid);
        }
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(part: &str, complaint: &'static str) -> Result<T, VerifyError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or(VerifyError::Malformed(complaint))
}
