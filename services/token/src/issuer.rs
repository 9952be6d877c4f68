//! Makes tokens.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::claims::{Claims, Role};
use crate::jwks::Jwks;
use crate::key::SigningKey;
use crate::unix_now;

/// Signs tokens in the name of one issuer for one audience.
#[derive(Clone, Debug)]
pub struct Issuer {
    key: SigningKey,
    name: String,
    audience: String,
    /// The first part of every token, encoded: it depends on the key only.
    header: String,
}

impl Issuer {
    /// An issuer of this name that signs with this key.
    pub fn new(key: &SigningKey, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        let header = serde_json::json!({"alg": "EdDSA", "kid": key.id(), "typ": "JWT"});
        Self {
            key: key.clone(),
            name: issuer.into(),
            audience: audience.into(),
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
        }
    }

    /// A token that is good from now on for `lifetime`. With `test_tag` it stands for an account of
    /// that test, see [`Claims::test`].
    pub fn issue(
        &self,
        subject: Uuid,
        role: Role,
        lifetime: Duration,
        test_tag: Option<&str>,
    ) -> String {
        let iat = unix_now();
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        self.sign(&Claims {
            iss: self.name.clone(),
            aud: self.audience.clone(),
            sub: subject,
            role,
            iat,
            exp: iat.saturating_add(lifetime),
            jti: Uuid::now_v7(),
            test: test_tag.map(str::to_owned),
        })
    }

    /// A token with exactly these claims.
    pub fn sign(&self, claims: &Claims) -> String {
        let payload = URL_SAFE_NO_PAD.encode(serde_json::json!(claims).to_string());
        let mut token = format!("{}.{payload}", self.header);
        let signature = self.key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// The key to publish, so that others can verify what this issuer signs.
    pub fn jwks(&self) -> Jwks {
        Jwks::new([self.key.public_key().clone()])
    }
}
