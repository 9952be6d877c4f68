//! The objects that environments become on k3s.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;
use shopctl::environment::{Autoscaling, Environment, Target, TlsKind};
use shopctl::project::{Loaded, Project};
use shopctl::render::{
    ClusterInput, Object, RenderError, Secret, placeholder_secrets, placeholder_tls, render_objects,
};
use snapbox::{Assert, Data};

fn load(name: &str) -> Loaded {
    // There is no folder like this, so nothing overrides what is compiled in.
    Project::at("/nonexistent").load(name).unwrap()
}

fn try_render(loaded: &Loaded, environment: &Environment) -> Result<Vec<Object>, Vec<RenderError>> {
    let mut secrets = placeholder_secrets(environment, &loaded.catalogue);
    for (name, secret) in &mut secrets {
        let made = Secret::new(secret.path.clone(), format!("VALUE-OF-{name}"));
        *secret = match secret.public() {
            Some(public) => made.with_public(public),
            None => made,
        };
    }
    render_objects(&ClusterInput {
        environment,
        catalogue: &loaded.catalogue,
        secrets: &secrets,
        shop_image: "localhost/shopctl/shopd:0123456789ab",
        tls: Some(&placeholder_tls()),
        version: ("0.1.0", "commit"),
    })
}

fn rendered(loaded: &Loaded, environment: &Environment) -> Vec<Object> {
    try_render(loaded, environment).unwrap()
}

fn single_node() -> (Loaded, Vec<Object>) {
    let loaded = load("single-node");
    let objects = rendered(&loaded, loaded.file.environment());
    (loaded, objects)
}

fn find<'a>(objects: &'a [Object], kind: &str, name: &str) -> Option<&'a Json> {
    objects
        .iter()
        .find(|object| object.kind() == kind && object.name() == name)
        .map(Object::value)
}

/// The pod templates of all workloads, by the workload's name.
fn pods(objects: &[Object]) -> BTreeMap<String, &Json> {
    objects
        .iter()
        .filter_map(|object| {
            let template = object.value().pointer("/spec/template")?;
            Some((object.display(), template))
        })
        .collect()
}

fn list<'a>(value: &'a Json, pointer: &str) -> &'a [Json] {
    value
        .pointer(pointer)
        .and_then(Json::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Every shipped environment on k3s, and what differs most from it.
fn environments() -> Vec<(String, Loaded, Environment)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../environments");
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(stem) = name.strip_suffix(".yaml") else {
            continue;
        };
        let loaded = load(stem);
        if loaded.file.environment().target == Target::K3s {
            let environment = loaded.file.environment().clone();
            found.push((stem.to_owned(), loaded, environment));
        }
    }
    let mut vary = |what: &str, change: &dyn Fn(&mut Environment)| {
        let loaded = load("single-node");
        let mut environment = loaded.file.environment().clone();
        change(&mut environment);
        found.push((what.to_owned(), loaded, environment));
    };
    vary("no class", &|it| {
        "none".clone_into(&mut it.ingress.class);
        it.components.get_mut("traefik").unwrap().enabled = false;
    });
    vary("another class", &|it| {
        "nginx".clone_into(&mut it.ingress.class);
        it.components.get_mut("traefik").unwrap().enabled = false;
    });
    vary("a node port without TLS", &|it| {
        it.ingress.node_port = Some(30_080);
        it.ingress.tls.kind = TlsKind::Off;
    });
    vary("somebody's Secret", &|it| {
        it.ingress.tls.kind = TlsKind::Secret;
        it.ingress.tls.secret = Some("mine".to_owned());
    });
    vary("one of each, growing", &|it| {
        for settings in it.components.values_mut() {
            settings.replicas = 1;
            settings.autoscaling = Some(Autoscaling {
                maximum_replicas: 9,
                cpu_percent: 80,
            });
        }
        it.k3s.rollout.linger_seconds = 0;
    });
    vary("without what can be left out", &|it| {
        it.components.get_mut("echo").unwrap().enabled = false;
    });
    found
}

#[test]
fn every_object_of_every_environment_fits_its_type() {
    for (what, loaded, environment) in environments() {
        let objects = try_render(&loaded, &environment)
            .unwrap_or_else(|errors| panic!("{what}: {errors:#?}"));
        assert!(objects.len() >= 35, "{what}: {} objects", objects.len());
        let names: BTreeSet<String> = objects.iter().map(Object::display).collect();
        assert_eq!(names.len(), objects.len(), "{what}: no two are the same");
        for object in &objects {
            let labels = &object.value()["metadata"]["labels"];
            assert_eq!(
                labels["app.kubernetes.io/managed-by"],
                "shopctl",
                "{what}: {}",
                object.display()
            );
            assert_eq!(labels["shopctl/environment"], environment.name.as_str());
            let namespace = &object.value()["metadata"]["namespace"];
            assert_eq!(
                namespace.is_null(),
                object.kind() == "Namespace",
                "{}",
                object.display()
            );
        }
    }
}

#[test]
fn the_objects_of_the_shipped_environment_are_these() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_shopctl"))
        .args(["render", "-e", "single-node"])
        .env_clear()
        .env("HOME", folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let version = format!("version: {}", env!("CARGO_PKG_VERSION"));
    let text = String::from_utf8(output.stdout).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/single-node.yaml");
    Assert::new().action_env("SNAPSHOTS").eq(
        text.replace(&version, "version: VERSION"),
        Data::read_from(&golden, None).raw(),
    );
}

#[test]
fn every_pod_fits_the_restricted_standard() {
    let (_, objects) = single_node();
    let pods = pods(&objects);
    assert!(pods.len() >= 10, "{} workloads", pods.len());
    for (name, pod) in pods {
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(
            spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{name}"
        );
        let containers = list(spec, "/containers")
            .iter()
            .chain(list(spec, "/initContainers"));
        for container in containers {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(
                security["capabilities"]["drop"],
                serde_json::json!(["ALL"]),
                "{name}"
            );
            for bound in ["requests", "limits"] {
                for resource in ["cpu", "memory", "ephemeral-storage"] {
                    assert!(
                        container["resources"][bound][resource].is_string(),
                        "{name}: {bound} {resource}"
                    );
                }
            }
        }
        let known = [
            "configMap",
            "downwardAPI",
            "emptyDir",
            "projected",
            "secret",
        ];
        for volume in list(spec, "/volumes") {
            let kinds = volume
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| *key != "name");
            assert!(
                kinds.clone().all(|kind| known.contains(&kind.as_str())),
                "{name}: {volume}"
            );
        }
    }
}

#[test]
fn only_auth_is_given_the_key_that_signs_tokens() {
    let (_, objects) = single_node();
    let key = find(&objects, "Secret", "jwt-key").unwrap();
    assert_eq!(
        key["data"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["auth-signing-key"]
    );
    let common = find(&objects, "Secret", "common").unwrap();
    assert!(common["data"].get("auth-signing-key").is_none());
    let with_key: Vec<String> = pods(&objects)
        .into_iter()
        .filter(|(_, pod)| pod.to_string().contains("jwt-key"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(with_key, ["deployment/auth"]);
}

#[test]
fn the_value_of_a_secret_is_in_secrets_alone() {
    let (_, objects) = single_node();
    let mut secrets = 0;
    for object in &objects {
        if object.kind() == "Secret" {
            secrets += 1;
        } else {
            assert!(
                !object.value().to_string().contains("VALUE-OF-"),
                "{}",
                object.display()
            );
        }
        assert!(
            !object.masked().value().to_string().contains("VkFMVUUtT0Yt"),
            "{}",
            object.display()
        );
    }
    assert!(secrets >= 4, "only {secrets} Secrets");
    // What tells no secret is no Secret: its changes can be shown.
    assert!(find(&objects, "ConfigMap", "order-config").unwrap()["data"]["order.toml"].is_string());
    assert!(
        find(&objects, "Secret", "redis-config").unwrap()["data"]["redis-0.users.acl"].is_string()
    );
}

#[test]
fn whoever_may_call_is_let_in_and_nobody_else() {
    let (_, objects) = single_node();
    let policy = |name: &str| &find(&objects, "NetworkPolicy", name).unwrap()["spec"];
    let from = |name: &str| policy(name)["ingress"].to_string();
    assert!(
        from("postgres").contains(r#"["auth","order","product","postgres-provision"]"#),
        "{}",
        from("postgres")
    );
    assert!(!from("order").contains("product"), "{}", from("order"));
    assert_eq!(
        list(policy("echo"), "/ingress").len(),
        1,
        "{}",
        from("echo")
    );
    assert!(
        list(policy("traefik"), "/ingress")
            .iter()
            .any(|rule| rule.get("from").is_none())
    );
    assert!(
        list(policy("gateway"), "/ingress")
            .iter()
            .all(|rule| rule.get("from").is_some())
    );
    let all: BTreeSet<&str> = objects
        .iter()
        .filter(|object| object.kind() == "NetworkPolicy")
        .map(Object::name)
        .collect();
    for pod in pods(&objects).values() {
        let name = pod["metadata"]["labels"]["app.kubernetes.io/name"]
            .as_str()
            .unwrap();
        assert!(all.contains(name), "{name} has no policy");
    }
    let deny = policy("default-deny");
    assert_eq!((deny.get("ingress"), deny.get("egress")), (None, None));
}

#[test]
fn an_autoscaler_owns_the_number_of_replicas() {
    let (_, objects) = single_node();
    for object in objects
        .iter()
        .filter(|object| object.kind() == "Deployment")
    {
        let scaled = find(&objects, "HorizontalPodAutoscaler", object.name()).is_some();
        assert_eq!(
            object.value()["spec"].get("replicas").is_none(),
            scaled,
            "{}",
            object.name()
        );
    }
    assert!(find(&objects, "HorizontalPodAutoscaler", "order").is_some());
}

#[test]
fn a_budget_lets_all_pods_of_a_host_go_that_have_nowhere_else_to_be() {
    for (what, loaded, environment) in environments() {
        let hosts = environment.hosts.len();
        let objects = rendered(&loaded, &environment);
        for object in &objects {
            if object.kind() != "PodDisruptionBudget" {
                continue;
            }
            let spec = &object.value()["spec"];
            assert!(spec.get("minAvailable").is_none());
            let most = &spec["maxUnavailable"];
            // A StatefulSet's pods have volumes that stay with their host, perhaps all with one; others find another host, if
            // there is one.
            let bound = find(&objects, "StatefulSet", object.name())
                .map(|set| set["spec"]["replicas"].as_u64().unwrap());
            let lets_go = match bound {
                Some(replicas) => most.as_u64() == Some(replicas),
                None if hosts == 1 => most == "100%",
                None => most == 1,
            };
            assert!(lets_go, "{what}, {hosts} hosts: {}: {most}", object.name());
        }
    }
}

/// The workloads whose pods are made anew if an environment becomes another one.
fn replaced(change: impl FnOnce(&mut Environment)) -> Vec<String> {
    let (loaded, before) = single_node();
    let mut environment = loaded.file.environment().clone();
    change(&mut environment);
    let after = rendered(&loaded, &environment);
    let before = pods(&before);
    pods(&after)
        .into_iter()
        .filter(|(name, pod)| before.get(name).is_some_and(|before| before != pod))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn changed_settings_make_the_pods_that_read_them_anew_and_no_others() {
    let changed = replaced(|environment| {
        let order = environment.components.get_mut("order").unwrap();
        order.settings.insert("batchSize".to_owned(), 512.into());
    });
    assert_eq!(changed, ["deployment/order"]);
    let grown = replaced(|environment| {
        environment.components.get_mut("gateway").unwrap().replicas = 3;
    });
    assert_eq!(
        grown,
        Vec::<String>::new(),
        "another pod changes none of those that are there"
    );
}

#[test]
fn pods_know_each_other_by_names_that_stay() {
    let (_, objects) = single_node();
    let config = find(&objects, "Secret", "redis-config").unwrap();
    let keys: Vec<&String> = config["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 6, "{keys:?}");
    let script = &find(&objects, "ConfigMap", "redis-config").unwrap()["data"]["redis-1.start.sh"];
    let script = script.as_str().unwrap();
    let domain = "ecommerce.svc.cluster.local.";
    for line in [
        format!("me='redis-1.redis-nodes.{domain}:6379'"),
        format!("sentinels=\"sentinel-0.redis-sentinel-nodes.{domain}:26379 "),
    ] {
        assert!(script.contains(&line), "{line}: {script}");
    }
    let redis = find(&objects, "StatefulSet", "redis").unwrap();
    assert_eq!(
        redis
            .pointer("/spec/template/spec/containers/0/command")
            .unwrap(),
        &serde_json::json!(["/bin/sh", "/etc/shop/config/$(POD_NAME)/start.sh"])
    );
    for name in ["redis-nodes", "redis-sentinel-nodes"] {
        let service = &find(&objects, "Service", name).unwrap()["spec"];
        assert_eq!(service["clusterIP"], "None");
        assert_eq!(service["publishNotReadyAddresses"], true, "{name}");
    }
}

#[test]
fn claims_say_nothing_that_a_cluster_would_drop() {
    let (_, objects) = single_node();
    let mut claims = 0;
    for object in objects
        .iter()
        .filter(|object| object.kind() == "StatefulSet")
    {
        for claim in list(object.value(), "/spec/volumeClaimTemplates") {
            claims += 1;
            assert!(
                claim.get("apiVersion").is_none() && claim.get("kind").is_none(),
                "{claim}"
            );
            assert!(claim.get("status").is_none(), "{claim}");
        }
    }
    assert_eq!(claims, 3);
}

#[test]
fn the_way_in_is_what_the_environment_asks_for() {
    for (what, loaded, environment) in environments() {
        let objects = rendered(&loaded, &environment);
        let ours = find(&objects, "DaemonSet", "traefik").is_some();
        let ingress = find(&objects, "Ingress", "shop");
        let port = find(&objects, "Service", "shop");
        let ways = [ours, ingress.is_some(), port.is_some()];
        assert_eq!(
            ways.iter().filter(|way| **way).count(),
            1,
            "{what}: {ways:?}"
        );
        match what.as_str() {
            "no class" => {
                let port = &port.unwrap()["spec"]["ports"][0];
                assert_eq!(port["nodePort"], 30_080);
            }
            "another class" => {
                let spec = &ingress.unwrap()["spec"];
                assert_eq!(spec["ingressClassName"], "nginx");
                assert_eq!(spec["tls"][0]["secretName"], "ingress-tls");
            }
            "somebody's Secret" => {
                assert!(find(&objects, "Secret", "mine").is_none(), "it is theirs");
                assert!(
                    pods(&objects)["daemonset/traefik"]
                        .to_string()
                        .contains(r#""secretName":"mine""#)
                );
            }
            _ => {}
        }
    }
}

#[test]
fn a_field_that_nobody_knows_is_an_error_that_names_template_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let templates = folder.path().join("templates/kubernetes");
    std::fs::create_dir_all(&templates).unwrap();
    let template = include_str!("../../templates/kubernetes/service.yaml.j2");
    let wrong = template.replace("revisionHistoryLimit", "revisionHistoryLimits");
    std::fs::write(templates.join("service.yaml.j2"), wrong).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_shopctl"))
        .args(["render", "-e", "single-node"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains(
            "templates/kubernetes/service.yaml.j2: unknown field `spec.revisionHistoryLimits`"
        ),
        "{stderr}"
    );
}
