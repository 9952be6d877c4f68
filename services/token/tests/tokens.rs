//! Tokens from end to end: what an issuer signs, a verifier reads, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use shop_token::{
    Claims, Issuer, Jwks, LEEWAY_SECONDS, MAXIMUM_TOKEN_BYTES, Role, SigningKey, Verifier,
    VerifyError,
};
use uuid::Uuid;

const NOW: i64 = 1_800_000_000;

fn issuer(key: &SigningKey) -> Issuer {
    Issuer::new(key, "shop-auth", "shop")
}

fn verifier(keys: &[&SigningKey]) -> Verifier {
    let keys = Jwks::new(keys.iter().map(|key| key.public_key().clone()));
    Verifier::new(&keys, "shop-auth", "shop")
}

fn claims() -> Claims {
    Claims {
        iss: "shop-auth".into(),
        aud: "shop".into(),
        sub: Uuid::now_v7(),
        role: Role::Customer,
        iat: NOW,
        exp: NOW + 900,
        jti: Uuid::now_v7(),
        test: None,
    }
}

/// A token with another header, but signed as it should be.
fn token_with_header(key: &SigningKey, header: &Value) -> String {
    use ed25519_dalek::Signer as _;
    use ed25519_dalek::pkcs8::DecodePrivateKey as _;

    let secret = ed25519_dalek::SigningKey::from_pkcs8_pem(&key.to_pem().unwrap()).unwrap();
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims()).unwrap());
    let message = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(secret.sign(message.as_bytes()).to_bytes());
    format!("{message}.{signature}")
}

#[test]
fn an_issued_token_carries_subject_role_lifetime_and_tag() {
    let key = SigningKey::generate();
    let subject = Uuid::now_v7();
    let token = issuer(&key).issue(subject, Role::Admin, Duration::from_mins(1), Some("load-7"));
    let claims = verifier(&[&key]).verify(&token).unwrap();
    assert_eq!(claims.sub, subject);
    assert_eq!(claims.role, Role::Admin);
    assert_eq!(claims.exp - claims.iat, 60);
    assert_eq!(claims.test.as_deref(), Some("load-7"));
}

#[test]
fn a_token_without_a_tag_has_no_test_claim_at_all() {
    let key = SigningKey::generate();
    let token = issuer(&key).sign(&claims());
    let payload = token.split('.').nth(1).unwrap();
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(payload["role"], "customer");
    assert!(payload.get("test").is_none(), "{payload}");
}

#[test]
fn a_token_ends_with_its_lifetime_and_thirty_seconds_of_leeway() {
    let key = SigningKey::generate();
    let token = issuer(&key).sign(&claims());
    let verifier = verifier(&[&key]);
    let end = NOW + 900 + LEEWAY_SECONDS;
    assert!(verifier.verify_at(&token, end - 1).is_ok());
    assert_eq!(verifier.verify_at(&token, end), Err(VerifyError::Expired));
}

#[test]
fn a_token_from_the_future_is_refused_beyond_the_leeway() {
    let key = SigningKey::generate();
    let token = issuer(&key).sign(&claims());
    let verifier = verifier(&[&key]);
    assert!(verifier.verify_at(&token, NOW - LEEWAY_SECONDS).is_ok());
    assert_eq!(
        verifier.verify_at(&token, NOW - LEEWAY_SECONDS - 1),
        Err(VerifyError::NotYetValid)
    );
}

#[test]
fn a_token_of_an_unknown_key_asks_for_newer_keys() {
    let (old, new) = (SigningKey::generate(), SigningKey::generate());
    let token = issuer(&new).sign(&claims());
    assert_eq!(
        verifier(&[&old]).verify_at(&token, NOW),
        Err(VerifyError::UnknownKey)
    );
    assert!(verifier(&[&old, &new]).verify_at(&token, NOW).is_ok());
}

#[test]
fn another_issuer_or_audience_is_refused() {
    let key = SigningKey::generate();
    let verifier = verifier(&[&key]);
    let foreign = Issuer::new(&key, "other-auth", "shop").sign(&Claims {
        iss: "other-auth".into(),
        ..claims()
    });
    assert_eq!(verifier.verify_at(&foreign, NOW), Err(VerifyError::Issuer));
    let elsewhere = issuer(&key).sign(&Claims {
        aud: "bank".into(),
        ..claims()
    });
    assert_eq!(
        verifier.verify_at(&elsewhere, NOW),
        Err(VerifyError::Audience)
    );
}

#[test]
fn a_token_cannot_choose_its_algorithm() {
    let key = SigningKey::generate();
    for algorithm in ["none", "None", "HS256", "RS256", "ES256", "eddsa", ""] {
        let token = token_with_header(&key, &json!({"alg": algorithm, "kid": key.id()}));
        assert_eq!(
            verifier(&[&key]).verify_at(&token, NOW),
            Err(VerifyError::Algorithm),
            "{algorithm}"
        );
    }
}

#[test]
fn a_token_that_asks_for_extensions_or_names_no_key_is_refused() {
    let key = SigningKey::generate();
    for header in [
        json!({"alg": "EdDSA", "kid": key.id(), "crit": ["b64"], "b64": false}),
        json!({"alg": "EdDSA"}),
        json!(["EdDSA"]),
    ] {
        let verdict = verifier(&[&key]).verify_at(&token_with_header(&key, &header), NOW);
        assert!(
            matches!(verdict, Err(VerifyError::Malformed(_))),
            "{header}: {verdict:?}"
        );
    }
    // The same way of making one gives a good token when the header is ours.
    let good = token_with_header(&key, &json!({"alg": "EdDSA", "kid": key.id()}));
    assert!(verifier(&[&key]).verify_at(&good, NOW).is_ok());
}

#[test]
fn claims_that_lack_something_are_refused_though_signed() {
    use ed25519_dalek::Signer as _;
    use ed25519_dalek::pkcs8::DecodePrivateKey as _;

    let key = SigningKey::generate();
    let secret = ed25519_dalek::SigningKey::from_pkcs8_pem(&key.to_pem().unwrap()).unwrap();
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": key.id()}).to_string());
    for missing in ["iss", "aud", "sub", "role", "iat", "exp", "jti"] {
        let mut payload = serde_json::to_value(claims()).unwrap();
        payload.as_object_mut().unwrap().remove(missing);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(secret.sign(message.as_bytes()).to_bytes());
        let verdict = verifier(&[&key]).verify_at(&format!("{message}.{signature}"), NOW);
        assert_eq!(
            verdict,
            Err(VerifyError::Malformed("its claims are not ours")),
            "{missing}"
        );
    }
}

#[test]
fn a_token_beyond_the_size_bound_is_refused_unread() {
    let key = SigningKey::generate();
    let tag = "x".repeat(MAXIMUM_TOKEN_BYTES);
    let token = issuer(&key).sign(&Claims {
        test: Some(tag),
        ..claims()
    });
    assert_eq!(
        verifier(&[&key]).verify_at(&token, NOW),
        Err(VerifyError::Malformed("it is too long"))
    );
}

proptest! {
    #[test]
    fn no_changed_character_goes_unnoticed(position in 0_usize..400, replacement in "[A-Za-z0-9_.-]") {
        let key = SigningKey::generate();
        let token = issuer(&key).sign(&claims());
        let position = position % token.len();
        let mut changed = token.clone();
        changed.replace_range(position..=position, &replacement);
        prop_assume!(changed != token);
        prop_assert!(verifier(&[&key]).verify_at(&changed, NOW).is_err());
    }

    #[test]
    fn garbage_is_refused_without_a_panic(garbage in "\\PC{0,200}") {
        let key = SigningKey::generate();
        prop_assert!(verifier(&[&key]).verify_at(&garbage, NOW).is_err());
    }
}
