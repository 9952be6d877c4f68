//! Access tokens of the shop: JSON Web Tokens signed with Ed25519, the keys that sign them and the
//! set of public keys that is published to verify them.
//!
//! The auth service issues tokens, every service verifies them, and `shopctl` mints some for its
//! own proofs. There is one algorithm (`EdDSA`), so a token cannot choose another one.
//!
//! Not here: files, sockets, fetching of keys, caches, refresh tokens and anything asynchronous.
//!
//! ```
//! use std::time::Duration;
//! use shop_token::{Issuer, Role, SigningKey, Verifier};
//!
//! let key = SigningKey::generate();
//! let issuer = Issuer::new(&key, "shop-auth", "shop");
//! let token = issuer.issue(uuid::Uuid::now_v7(), Role::Customer, Duration::from_secs(900), None);
//!
//! let verifier = Verifier::new(&issuer.jwks(), "shop-auth", "shop");
//! assert_eq!(verifier.verify(&token)?.role, Role::Customer);
//! # Ok::<(), shop_token::VerifyError>(())
//! ```

mod claims;
mod issuer;
mod jwks;
mod key;
mod verifier;

pub use claims::{Claims, Role, UnknownRole};
pub use issuer::Issuer;
pub use jwks::{Jwks, JwksError};
pub use key::{KeyError, PublicKey, SigningKey};
pub use verifier::{LEEWAY_SECONDS, MAXIMUM_TOKEN_BYTES, Verifier, VerifyError};

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch; a clock before it reads as 0, which makes every token too new.
fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}
