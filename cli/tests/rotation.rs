//! Which pods are made anew in each round of a rotation, and what they are told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use shopctl::project::{Loaded, Project};
use shopctl::render::{
    ClusterInput, Secret, SecretSet, placeholder_secrets, placeholder_tls, render_objects,
};

fn load() -> Loaded {
    // There is no folder like this, so nothing overrides what is compiled in.
    Project::at("/nonexistent").load("single-node").unwrap()
}

fn settled(loaded: &Loaded) -> SecretSet {
    placeholder_secrets(loaded.file.environment(), &loaded.catalogue)
}

/// With one secret in the midst of a rotation. The set of public keys does not change when two keys change places.
fn rotating(loaded: &Loaded, name: &str, value: &str, other: &str) -> SecretSet {
    let mut secrets = settled(loaded);
    let before = secrets[name].clone();
    let secret = Secret::new(before.path.clone(), value).with_other(other);
    let secret = match before.public() {
        Some(_) => secret.with_public("{\"keys\":[\"BOTH\"]}"),
        None => secret,
    };
    secrets.insert(name.to_owned(), secret);
    secrets
}

fn objects(loaded: &Loaded, secrets: &SecretSet) -> BTreeMap<String, Json> {
    let objects = render_objects(&ClusterInput {
        environment: loaded.file.environment(),
        catalogue: &loaded.catalogue,
        secrets,
        shop_image: "localhost/shopctl/shopd:0123456789ab",
        tls: Some(&placeholder_tls()),
        version: ("0.1.0", "commit"),
    })
    .unwrap();
    objects
        .into_iter()
        .map(|object| (object.display(), object.into_value()))
        .collect()
}

/// The workloads of which pods are made anew; of a Job, without what says which work it is.
fn made_anew(before: &BTreeMap<String, Json>, after: &BTreeMap<String, Json>) -> Vec<String> {
    let template = |object: Option<&Json>| object?.pointer("/spec/template").cloned();
    let mut names: Vec<String> = after
        .iter()
        .filter(|(name, object)| template(Some(object)) != template(before.get(*name)))
        .map(|(name, _)| match name.strip_prefix("job/") {
            Some(job) => format!("job/{}", job.rsplit_once('-').unwrap().0),
            None => name.clone(),
        })
        .collect();
    names.sort();
    names
}

/// What is made anew when another secret is laid beside a former one, when they change places, and when that one goes.
fn rounds(name: &str) -> [String; 3] {
    let loaded = load();
    let mut gone = settled(&loaded);
    let new = Secret::new(gone[name].path.clone(), "NEW");
    let new = match gone[name].public() {
        Some(_) => new.with_public("{\"keys\":[\"NEW\"]}"),
        None => new,
    };
    gone.insert(name.to_owned(), new);
    let old = format!("SECRET-{name}");
    let stages = [
        settled(&loaded),
        rotating(&loaded, name, &old, "NEW"),
        rotating(&loaded, name, "NEW", &old),
        gone,
    ]
    .map(|secrets| objects(&loaded, &secrets));
    [0, 1, 2].map(|at| made_anew(&stages[at], &stages[at + 1]).join(" "))
}

#[test]
fn the_password_of_a_role_changes_without_the_database_being_started_again() {
    let job_and_order = "deployment/order job/postgres-provision";
    assert_eq!(rounds("postgres-order"), [job_and_order; 3]);
    assert_eq!(rounds("postgres-superuser"), ["job/postgres-provision"; 3]);
}

#[test]
fn who_accepts_a_password_is_told_first_and_who_uses_it_when_it_changes() {
    let [offered, taken, settled] = rounds("redis-order");
    assert_eq!(offered, "statefulset/redis");
    assert_eq!(taken, "deployment/order statefulset/redis");
    assert_eq!(settled, "statefulset/redis");
}

#[test]
fn verifiers_learn_the_next_key_before_it_signs_and_forget_the_former_one_last() {
    let [offered, taken, settled] = rounds("auth-signing-key");
    let verifiers = "deployment/auth deployment/gateway deployment/order deployment/product";
    assert_eq!(offered, verifiers);
    assert_eq!(taken, "deployment/auth");
    assert_eq!(settled, verifiers);
}

#[test]
fn what_is_only_used_is_told_in_one_round() {
    assert_eq!(rounds("auth-admin"), ["", "deployment/auth", ""]);
}

#[test]
fn a_redis_accepts_both_passwords_while_one_is_rotated() {
    let loaded = load();
    let hash = |value: &str| format!("#{}", hex::encode(Sha256::digest(value)));
    let accepted = |secrets: &SecretSet| -> String {
        let objects = objects(&loaded, secrets);
        let acl = objects["secret/redis-config"]["data"]["redis-0.users.acl"].as_str();
        let text = String::from_utf8(STANDARD.decode(acl.unwrap()).unwrap()).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("user shop-order "))
            .unwrap();
        let mut hashes: Vec<&str> = line
            .split(' ')
            .filter(|word| word.starts_with('#'))
            .collect();
        hashes.sort_unstable();
        hashes.join(" ")
    };
    let mut both = [hash("NEW"), hash("OLD")];
    both.sort();
    assert_eq!(
        accepted(&rotating(&loaded, "redis-order", "OLD", "NEW")),
        both.join(" ")
    );
    assert_eq!(
        accepted(&rotating(&loaded, "redis-order", "NEW", "OLD")),
        both.join(" ")
    );
    assert_eq!(accepted(&settled(&loaded)), hash("SECRET-redis-order"));
}

#[test]
fn only_who_says_so_is_given_the_other_one_and_none_waits_for_it() {
    let loaded = load();
    let objects = objects(&loaded, &rotating(&loaded, "postgres-order", "OLD", "NEW"));
    let given: Vec<&str> = objects
        .iter()
        .filter(|(_, object)| object.to_string().contains("\"postgres-order.other\""))
        .map(|(name, _)| name.split('-').next().unwrap())
        .collect();
    assert_eq!(given, ["deployment/order", "job/postgres"]);
    let volumes = objects["deployment/order"]
        .pointer("/spec/template/spec/volumes")
        .unwrap();
    let sources = volumes
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"] == "secrets")
        .unwrap();
    let sources = sources
        .pointer("/projected/sources")
        .unwrap()
        .as_array()
        .unwrap();
    let optional: Vec<bool> = sources
        .iter()
        .map(|source| source["secret"]["optional"] == true)
        .collect();
    assert_eq!(optional.iter().filter(|it| **it).count(), 1, "{sources:?}");
    assert!(optional.len() > 1);
}
