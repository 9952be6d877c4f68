//! What secrets an environment needs and how they are made, on every target alike.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::distr::Alphanumeric;

use crate::catalogue::{Catalogue, Component, SecretKind, SecretSpec};
use crate::environment::Environment;

/// The secrets of all enabled components; one that several name is the same one, bound if one of them says so.
pub(super) fn wanted_secrets<'a>(
    environment: &Environment,
    catalogue: &'a Catalogue,
) -> BTreeMap<&'a str, (&'a Component, &'a SecretSpec)> {
    let mut wanted: BTreeMap<&str, (&Component, &SecretSpec)> = BTreeMap::new();
    for component in environment
        .enabled()
        .filter_map(|(name, _)| catalogue.get(name.as_str()))
    {
        for secret in &component.secrets {
            let known = wanted
                .entry(secret.name.as_str())
                .or_insert((component, secret));
            if known.1.bound_to.is_none() && !known.1.shared_by_peers {
                *known = (component, secret);
            }
        }
    }
    wanted
}

/// The set of public keys that goes with private ones. It does not change when these change places.
pub(super) fn public_keys<'a>(pems: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
    let mut keys = pems
        .into_iter()
        .map(|pem| {
            let key = shop_token::SigningKey::from_pem(pem).map_err(|error| error.to_string())?;
            Ok(key.public_key().clone())
        })
        .collect::<Result<Vec<_>, String>>()?;
    keys.sort_by(|one, other| one.id().cmp(other.id()));
    Ok(shop_token::Jwks::new(keys).to_json())
}

/// Thinks up a secret.
pub(super) fn generate(kind: SecretKind, password_length: u16) -> Result<String, String> {
    Ok(match kind {
        SecretKind::Password => rand::rng()
            .sample_iter(Alphanumeric)
            .take(usize::from(password_length))
            .map(char::from)
            .collect(),
        SecretKind::Token => hex::encode(rand::random::<[u8; 32]>()),
        SecretKind::Ed25519Key => shop_token::SigningKey::generate()
            .to_pem()
            .map_err(|error| error.to_string())?
            .trim_end()
            .to_owned(),
    })
}
