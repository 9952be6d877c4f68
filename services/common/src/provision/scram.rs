//! SCRAM-SHA-256 verifiers as Postgres keeps them (RFC 5802, RFC 7677).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::config::Secret;

/// What Postgres itself uses by default.
const ITERATIONS: u32 = 4096;

type Digest256 = [u8; 32];

/// A verifier for a password with a salt of its own.
pub(super) fn verifier(password: &Secret) -> String {
    let salt: [u8; 16] = rand::random();
    verifier_with(password, &salt, ITERATIONS)
}

/// Whether a verifier that Postgres holds belongs to the password.
pub(super) fn matches(stored: &str, password: &Secret) -> bool {
    parameters(stored)
        .is_some_and(|(salt, iterations)| verifier_with(password, &salt, iterations) == stored)
}

/// Salt and iterations of `SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER`.
fn parameters(stored: &str) -> Option<(Vec<u8>, u32)> {
    let (iterations, salt) = stored
        .strip_prefix("SCRAM-SHA-256$")?
        .split_once('$')?
        .0
        .split_once(':')?;
    Some((STANDARD.decode(salt).ok()?, iterations.parse().ok()?))
}

fn verifier_with(password: &Secret, salt: &[u8], iterations: u32) -> String {
    let salted = salted_password(password.expose().as_bytes(), salt, iterations);
    let stored_key: Digest256 = Sha256::digest(hmac(&salted, &[b"Client Key"])).into();
    let server_key = hmac(&salted, &[b"Server Key"]);
    format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    )
}

/// `Hi` of RFC 5802: PBKDF2 with one block.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Digest256 {
    let mut last = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut all = last;
    for _ in 1..iterations {
        last = hmac(password, &[&last]);
        for (sum, byte) in all.iter_mut().zip(last) {
            *sum ^= byte;
        }
    }
    all
}

fn hmac(key: &[u8], message: &[&[u8]]) -> Digest256 {
    // HMAC takes keys of any length, so this is always a key.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length")
    };
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn the_verifier_is_the_one_of_the_standards_example() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted_password(b"pencil", &salt, 4096);
        let server_key = hmac(&salted, &[b"Server Key"]);
        let exchange = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = STANDARD.encode(hmac(&server_key, &[exchange.as_bytes()]));
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_verifier_matches_its_password_and_no_other() {
        let stored = verifier(&Secret::new("pencil"));
        assert!(matches(&stored, &Secret::new("pencil")));
        assert!(!matches(&stored, &Secret::new("pen")));
        assert!(!matches("md5f00", &Secret::new("pencil")));
        assert!(!matches("", &Secret::new("pencil")));
    }

    #[test]
    fn the_same_password_gets_another_salt_each_time() {
        let password = Secret::new("pencil");
        assert_ne!(verifier(&password), verifier(&password));
    }
}
