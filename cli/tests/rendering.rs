//! What the shipped templates become, with the shipped environment.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use shopctl::catalogue::{FileMode, SecretKind};
use shopctl::environment::{DrillObjectives, Environment};
use shopctl::project::{Loaded, Project};
use shopctl::render::{
    Place, ProgramFile, RenderInput, RenderedInstance, Secret, SecretSet, render,
};
use shopctl::value::Duration;

fn shipped() -> Loaded {
    // There is no folder like this, so nothing overrides what is compiled in.
    Project::at("/nonexistent").load("local").unwrap()
}

fn place() -> Place {
    let program = |name: &str| {
        let file = ProgramFile {
            path: format!("/usr/bin/{name}"),
            fingerprint: "1".to_owned(),
        };
        (name.to_owned(), file)
    };
    Place {
        // Blanks and quotes in a path must survive every kind of file.
        state_dir: "/srv/it's a shop".to_owned(),
        run_dir: "/run/shop".to_owned(),
        secrets_dir: "/srv/it's a shop/secrets".to_owned(),
        listen: "127.0.0.1".to_owned(),
        networks: vec!["127.0.0.1/32".to_owned()],
        programs: [
            "postgres",
            "initdb",
            "redis-server",
            "redis-cli",
            "redis-sentinel",
            "shopd",
        ]
        .map(program)
        .into(),
        in_pods: false,
    }
}

fn secrets(loaded: &Loaded) -> SecretSet {
    loaded
        .catalogue
        .components()
        .flat_map(|component| &component.secrets)
        .map(|secret| {
            let path = format!("/srv/it's a shop/secrets/{}", secret.name);
            let made = Secret::new(path, format!("VALUE-OF-{}", secret.name));
            let made = match secret.kind {
                SecretKind::Ed25519Key => {
                    made.with_public(format!("{{\"keys\":[\"PUBLIC-{}\"]}}", secret.name))
                }
                SecretKind::Password | SecretKind::Token => made,
            };
            (secret.name.clone(), made)
        })
        .collect()
}

fn rendered(loaded: &Loaded, environment: &Environment) -> BTreeMap<String, RenderedInstance> {
    let instances = render(&RenderInput {
        environment,
        catalogue: &loaded.catalogue,
        place: &place(),
        secrets: &secrets(loaded),
        version: ("0.1.0", "commit"),
    });
    instances
        .unwrap()
        .into_iter()
        .map(|instance| (instance.name.clone(), instance))
        .collect()
}

fn digests(loaded: &Loaded, environment: &Environment) -> BTreeMap<String, String> {
    rendered(loaded, environment)
        .into_iter()
        .map(|(name, instance)| (name, instance.digest()))
        .collect()
}

/// The instances that would be started again if an environment became another one.
fn restarted(loaded: &Loaded, change: impl FnOnce(&mut Environment)) -> Vec<String> {
    let before = digests(loaded, loaded.file.environment());
    let mut environment = loaded.file.environment().clone();
    change(&mut environment);
    digests(loaded, &environment)
        .into_iter()
        .filter(|(name, digest)| before.get(name).is_some_and(|before| before != digest))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn who_verifies_tokens_has_the_public_key_and_nobody_but_auth_the_other_half() {
    let loaded = shipped();
    let instances = rendered(&loaded, loaded.file.environment());
    for (name, instance) in &instances {
        let verifies = ["gateway", "order", "product"].contains(&instance.component.as_str());
        let keys = instance.files.iter().find(|file| file.path == "jwks.json");
        assert_eq!(keys.is_some(), verifies, "{name}");
        if let Some(keys) = keys {
            assert_eq!(
                keys.content.trim(),
                r#"{"keys":["PUBLIC-auth-signing-key"]}"#
            );
            assert_eq!(keys.mode, FileMode::Public, "{name}");
        }
        let told = instance.files.iter().any(|file| {
            file.content.contains("VALUE-OF-auth-signing-key")
                || file.content.contains("secrets/auth-signing-key")
        });
        assert_eq!(told, instance.component == "auth", "{name}");
    }
}

#[test]
fn every_instance_of_the_shipped_environment_is_rendered() {
    let loaded = shipped();
    let names: Vec<String> = rendered(&loaded, loaded.file.environment())
        .into_keys()
        .collect();
    assert_eq!(
        names,
        [
            "auth-0",
            "auth-1",
            "echo-0",
            "gateway-0",
            "gateway-1",
            "order-0",
            "order-1",
            "postgres-0",
            "product-0",
            "product-1",
            "redis-0",
            "redis-1",
            "redis-2",
            "sentinel-0",
            "sentinel-1",
            "sentinel-2",
        ]
    );
}

#[test]
fn the_value_of_a_secret_is_in_no_file_that_is_not_private_and_in_no_command() {
    let loaded = shipped();
    let mut private = 0;
    for instance in rendered(&loaded, loaded.file.environment()).values() {
        for text in instance.argv.iter().chain(instance.environment.values()) {
            assert!(!text.contains("VALUE-OF-"), "{}: {text}", instance.name);
        }
        for file in instance.all_files() {
            if file.mode == FileMode::Private {
                private += 1;
            } else {
                assert!(
                    !file.content.contains("VALUE-OF-"),
                    "{}: {}",
                    instance.name,
                    file.path
                );
            }
        }
        assert!(
            !format!("{instance:?}").contains("VALUE-OF-"),
            "{}",
            instance.name
        );
    }
    assert!(private > 10, "only {private} private files were looked at");
}

#[test]
fn start_scripts_are_good_shell_whatever_the_paths_hold() {
    let loaded = shipped();
    let mut scripts = 0;
    for instance in rendered(&loaded, loaded.file.environment()).values() {
        for file in instance.all_files().filter(|file| file.path == "start.sh") {
            let mut shell = Command::new("sh")
                .arg("-n")
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            shell
                .stdin
                .take()
                .unwrap()
                .write_all(file.content.as_bytes())
                .unwrap();
            assert!(
                shell.wait().unwrap().success(),
                "{}: {}",
                instance.name,
                file.path
            );
            assert!(
                file.content.contains(r"'/srv/it'\''s a shop/instances/"),
                "{}",
                file.content
            );
            scripts += 1;
        }
    }
    assert_eq!(scripts, 7);
}

#[test]
fn a_changed_setting_restarts_its_own_component_alone() {
    let loaded = shipped();
    let changed = restarted(&loaded, |environment| {
        let order = environment.components.get_mut("order").unwrap();
        order.settings.insert("batchSize".to_owned(), 512.into());
    });
    assert_eq!(changed, ["order-0", "order-1"]);
}

#[test]
fn another_replica_is_told_to_those_that_talk_to_it_alone() {
    let loaded = shipped();
    let changed = restarted(&loaded, |environment| {
        environment.components.get_mut("echo").unwrap().replicas = 2;
    });
    assert_eq!(changed, ["gateway-0", "gateway-1"]);
    let changed = restarted(&loaded, |environment| {
        environment.components.get_mut("auth").unwrap().replicas = 3;
    });
    let verifiers = [
        "gateway-0",
        "gateway-1",
        "order-0",
        "order-1",
        "product-0",
        "product-1",
    ];
    assert_eq!(changed, verifiers);
}

#[test]
fn a_lone_redis_takes_writes_without_a_replica() {
    let loaded = shipped();
    let mut environment = loaded.file.environment().clone();
    let conf = |environment: &Environment| {
        let instances = rendered(&loaded, environment);
        let redis = &instances["redis-0"];
        let file = redis
            .files
            .iter()
            .find(|file| file.path == "redis.conf")
            .unwrap();
        file.content.clone()
    };
    assert!(conf(&environment).contains("min-replicas-to-write 1\n"));
    environment.components.get_mut("redis").unwrap().replicas = 1;
    assert!(conf(&environment).contains("min-replicas-to-write 0\n"));
}

#[test]
fn ports_count_up_with_the_instances_unless_they_are_shared() {
    let loaded = shipped();
    let instances = rendered(&loaded, loaded.file.environment());
    let address = |name: &str| instances[name].address.as_str();
    assert_eq!(address("redis-2"), "127.0.0.1:16381");
    assert_eq!(
        (address("gateway-0"), address("gateway-1")),
        ("127.0.0.1:8080", "127.0.0.1:8080")
    );
    assert_eq!(instances["gateway-1"].ports["admin"], 18051);
}

#[test]
fn the_order_service_is_told_all_that_it_needs() {
    let loaded = shipped();
    let instances = rendered(&loaded, loaded.file.environment());
    let file = instances["order-1"]
        .files
        .iter()
        .find(|file| file.path == "order.toml")
        .unwrap();
    insta::assert_snapshot!(file.content);
}

#[test]
fn redis_may_be_away_as_long_as_the_sentinels_wait_and_need_to_switch() {
    let environment = shipped().file.environment().clone();
    let wait = &environment.components["sentinel"].settings["downAfter"];
    let wait: Duration = wait.as_str().unwrap().parse().unwrap();
    let objectives = [
        environment.objectives.drills.redis_writable,
        DrillObjectives::default().redis_writable,
    ];
    for allowed in objectives {
        assert!(
            (allowed.seconds() - wait.seconds() - 1.5).abs() < 1e-6,
            "{allowed:?}"
        );
    }
}
