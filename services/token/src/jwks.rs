//! The set of public keys that auth publishes (RFC 7517), so that others verify its tokens.

use serde::{Deserialize, Serialize};

use crate::key::{KeyError, PublicKey};

/// Public keys, the one that signs now first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jwks {
    keys: Vec<PublicKey>,
}

/// Why a published set of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The text is not a JSON Web Key Set.
    #[error("failed to read the published keys: not a JSON Web Key Set")]
    NotJwks(#[source] serde_json::Error),
    /// A key that says it is Ed25519 isn't.
    #[error("failed to read the published key at index {index}")]
    BadKey {
        /// Where in the set the key stands.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// There is no key in the set that we could verify with.
    #[error("failed to find an Ed25519 signature key among the published keys")]
    NoUsableKey,
}

/// The document as it travels. Members that we don't know are ignored, as RFC 7517 asks.
#[derive(Serialize, Deserialize)]
struct Document {
    keys: Vec<Key>,
}

#[derive(Serialize, Deserialize)]
struct Key {
    kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
}

impl Jwks {
    /// A set of these keys.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let mut set = Self::default();
        for key in keys {
            if set.find(key.id()).is_none() {
                set.keys.push(key);
            }
        }
        set
    }

    /// Reads a published document. Keys of other kinds are passed over; a set without any key that
    /// we could use is an error, so that a broken answer never replaces good keys.
    pub fn from_json(json: &str) -> Result<Self, JwksError> {
        let document: Document = serde_json::from_str(json).map_err(JwksError::NotJwks)?;
        let mut keys = Vec::new();
        for (index, key) in document.keys.iter().enumerate() {
            if let Some(x) = key.ed25519_coordinate() {
                let key = PublicKey::from_coordinate(x)
                    .map_err(|source| JwksError::BadKey { index, source })?;
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(JwksError::NoUsableKey);
        }
        Ok(Self::new(keys))
    }

    /// The document to publish.
    pub fn to_json(&self) -> String {
        let document = Document {
            keys: self.keys.iter().map(Key::from).collect(),
        };
        serde_json::json!(document).to_string()
    }

    /// The keys, the one that signs now first.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The key with this id. Ids are thumbprints, so a document cannot give a key another's name.
    pub fn find(&self, id: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.id() == id)
    }
}

impl Key {
    /// The coordinate, if this is a key for our one algorithm.
    fn ed25519_coordinate(&self) -> Option<&str> {
        let ours = self.kty == "OKP"
            && self.crv.as_deref() == Some("Ed25519")
            && self
                .alg
                .as_deref()
                .is_none_or(|alg| matches!(alg, "EdDSA" | "Ed25519"))
            && self
                .purpose
                .as_deref()
                .is_none_or(|purpose| purpose == "sig");
        self.x.as_deref().filter(|_| ours)
    }
}

impl From<&PublicKey> for Key {
    fn from(key: &PublicKey) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            x: Some(key.coordinate()),
            kid: Some(key.id().to_owned()),
            alg: Some("EdDSA".to_owned()),
            purpose: Some("sig".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    #[test]
    fn a_published_set_reads_back_as_itself() {
        let keys = Jwks::new([
            SigningKey::generate().public_key().clone(),
            SigningKey::generate().public_key().clone(),
        ]);
        assert_eq!(Jwks::from_json(&keys.to_json()).unwrap(), keys);
    }

    #[test]
    fn a_published_key_has_the_members_that_others_look_for() {
        let key = SigningKey::generate();
        let json: serde_json::Value =
            serde_json::from_str(&Jwks::new([key.public_key().clone()]).to_json()).unwrap();
        assert_eq!(
            json["keys"][0],
            serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": key.public_key().coordinate(),
                "kid": key.id(), "alg": "EdDSA", "use": "sig"})
        );
    }

    #[test]
    fn the_same_key_twice_is_published_once() {
        let key = SigningKey::generate().public_key().clone();
        assert_eq!(Jwks::new([key.clone(), key]).keys().len(), 1);
    }

    #[test]
    fn keys_of_other_kinds_and_purposes_are_passed_over() {
        let ours = SigningKey::generate();
        let x = ours.public_key().coordinate();
        let json = serde_json::json!({"keys": [
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "r"},
            {"kty": "OKP", "crv": "X25519", "x": x},
            {"kty": "OKP", "crv": "Ed25519", "x": SigningKey::generate().public_key().coordinate(), "use": "enc"},
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "a name of its own"},
        ]});
        let keys = Jwks::from_json(&json.to_string()).unwrap();
        assert_eq!(keys, Jwks::new([ours.public_key().clone()]));
    }

    #[test]
    fn a_set_without_a_usable_key_is_an_error() {
        for json in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct"}]}"#] {
            assert!(
                matches!(Jwks::from_json(json), Err(JwksError::NoUsableKey)),
                "{json}"
            );
        }
        assert!(matches!(
            Jwks::from_json("<html>"),
            Err(JwksError::NotJwks(_))
        ));
        let short = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}"#;
        assert!(matches!(
            Jwks::from_json(short),
            Err(JwksError::BadKey { index: 0, .. })
        ));
    }
}
