//! The key pair that signs tokens, and its PEM form.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// An Ed25519 private key. `Debug` shows its id only, and it is wiped from memory when dropped.
#[derive(Clone)]
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    public: PublicKey,
}

/// The public half of a key, with the id that tokens name it by.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    key: ed25519_dalek::VerifyingKey,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The text is not a private key that we can use.
    #[error("failed to read the signing key: it is not an Ed25519 private key in PKCS#8 PEM")]
    NotEd25519Pem,
    /// The key could not be written.
    #[error("failed to write the signing key as PKCS#8 PEM")]
    Unwritable,
    /// The bytes are not a point of the curve, or one of those that would verify forged signatures.
    #[error("failed to read a public key: it is not a usable Ed25519 public key")]
    NotPublicKey,
}

impl SigningKey {
    /// Makes a new key from the operating system's randomness.
    pub fn generate() -> Self {
        // The thread's generator is a ChaCha CSPRNG that the operating system seeds.
        Self::from_secret(ed25519_dalek::SigningKey::from_bytes(&rand::rng().random()))
    }

    /// Reads a key in PKCS#8 PEM, as [`Self::to_pem`] or `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim())
            .map(Self::from_secret)
            .map_err(|_| KeyError::NotEd25519Pem)
    }

    /// The key in PKCS#8 PEM. The text is a secret: it belongs into a file that only its owner reads.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        // Without the public half this is version 1 of PKCS#8, which every tool reads.
        let pair = KeypairBytes {
            secret_key: self.secret.to_bytes(),
            public_key: None,
        };
        pair.to_pkcs8_pem(LineEnding::LF)
            .map(|pem| pem.as_str().to_owned())
            .map_err(|_| KeyError::Unwritable)
    }

    /// The half that may be published.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The id that tokens name this key by.
    pub fn id(&self) -> &str {
        &self.public.id
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.secret.sign(message).to_bytes()
    }

    fn from_secret(secret: ed25519_dalek::SigningKey) -> Self {
        let public = PublicKey::from_key(secret.verifying_key());
        Self { secret, public }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("id", &self.public.id)
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// The id of the key: its RFC 7638 thumbprint.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The coordinate `x` of a JWK.
    pub(crate) fn coordinate(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.as_bytes())
    }

    pub(crate) fn from_coordinate(x: &str) -> Result<Self, KeyError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(x)
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or(KeyError::NotPublicKey)?;
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotPublicKey)?;
        if key.is_weak() {
            return Err(KeyError::NotPublicKey);
        }
        Ok(Self::from_key(key))
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).is_ok()
    }

    fn from_key(key: ed25519_dalek::VerifyingKey) -> Self {
        let x = URL_SAFE_NO_PAD.encode(key.as_bytes());
        // RFC 7638: the required members, ordered by name, without spaces.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(members));
        Self { id, key }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PublicKey").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8037, appendix A.
    const RFC_8037_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[test]
    fn the_id_is_the_thumbprint_that_rfc_8037_computes() {
        let key = PublicKey::from_coordinate(RFC_8037_X).unwrap();
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(key.coordinate(), RFC_8037_X);
    }

    #[test]
    fn a_key_reads_back_what_it_writes() {
        let key = SigningKey::generate();
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{pem}");
        let read = SigningKey::from_pem(&pem).unwrap();
        assert_eq!(read.id(), key.id());
        assert_eq!(read.sign(b"shop"), key.sign(b"shop"));
    }

    #[test]
    fn two_keys_differ() {
        assert_ne!(SigningKey::generate().id(), SigningKey::generate().id());
    }

    #[test]
    fn a_key_of_openssl_is_read() {
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";
        assert_eq!(
            SigningKey::from_pem(pem).unwrap().id(),
            PublicKey::from_coordinate(RFC_8037_X).unwrap().id()
        );
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused() {
        for text in [
            "",
            "secret",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        ] {
            assert_eq!(
                SigningKey::from_pem(text).unwrap_err(),
                KeyError::NotEd25519Pem
            );
        }
    }

    #[test]
    fn a_public_key_that_would_verify_anything_is_refused() {
        let mut neutral_point = [0_u8; 32];
        neutral_point[0] = 1;
        let x = URL_SAFE_NO_PAD.encode(neutral_point);
        assert_eq!(
            PublicKey::from_coordinate(&x).unwrap_err(),
            KeyError::NotPublicKey
        );
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let key = SigningKey::generate();
        let shown = format!("{key:?}");
        assert_eq!(shown, format!("SigningKey {{ id: {:?}, .. }}", key.id()));
    }
}
