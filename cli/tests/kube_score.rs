//! What kube-score finds in the objects of shops on k3s: nothing critical but what is annotated with a reason.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod skipped;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value as Json;

/// The Go package, and the version that is installed.
const PACKAGE: &str = "github.com/zegl/kube-score/cmd/kube-score";
const VERSION: &str = "v1.20.0";
/// What the objects are for.
const KUBERNETES: &str = "v1.34";

/// The annotation that names the checks that an object does not want.
const IGNORED: &str = "kube-score/ignore";
/// Before a check's name: the annotation that says why it is not wanted.
const REASON: &str = "shopctl/kube-score.";

/// Checks that are made only if asked for. Those that are not want limits to be what is requested, which would keep a pod
/// from using what nobody else needs at the moment.
const BESIDES: [&str; 2] = ["container-seccomp-profile", "container-ports-check"];
/// Warnings about what an environment asks for: one of something, or a port of the hosts as the way in.
const ASKED_FOR: [&str; 3] = [
    "deployment-replicas",
    "horizontalpodautoscaler-replicas",
    "service-type",
];

/// How much of ten a check leaves where it found something critical.
const CRITICAL: u64 = 1;
const FINE: u64 = 10;

/// Environments beside those that are shipped: every way in, and services that grow.
const OTHERS: [(&str, &str); 4] = [
    (
        "a port of the hosts",
        "ingress: { host: shop.example.com, class: none, nodePort: 30080, tls: { kind: off } }\n\
         components: { traefik: { enabled: false } }",
    ),
    (
        "a port of the hosts that Traefik has",
        "ingress: { host: shop.example.com, nodePort: 30443 }",
    ),
    (
        "somebody's ingress class",
        "ingress: { host: shop.example.com, class: nginx }\ncomponents: { traefik: { enabled: false } }",
    ),
    (
        "services that grow",
        "services:\n  echo: { autoscaling: { maximumReplicas: 3 } }\n  \
         gateway: { autoscaling: { maximumReplicas: 4, cpuPercent: 80 } }",
    ),
];

/// kube-score, or why there is none: the one that `SHOPCTL_KUBE_SCORE` names, or one that Go installs once.
fn kube_score() -> Result<&'static Path, &'static str> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| match std::env::var_os("SHOPCTL_KUBE_SCORE") {
        Some(named) => Ok(named.into()),
        None => install(),
    });
    found.as_deref().map_err(String::as_str)
}

fn install() -> Result<PathBuf, String> {
    let folder = cache().join("kube-score").join(VERSION);
    let program = folder.join("kube-score");
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&folder).unwrap();
    // Half a program must not be taken for one, whoever else installs it now.
    let new = tempfile::tempdir_in(&folder).unwrap();
    let output = Command::new("go")
        .args(["install", "-trimpath", &format!("{PACKAGE}@{VERSION}")])
        .env("GOBIN", new.path())
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", "0")
        .output()
        .map_err(|_| "there is no Go, which installs kube-score".to_owned())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("it says nothing");
        return Err(format!(
            "Go could not install kube-score {VERSION}: {}",
            last.trim()
        ));
    }
    fs::rename(new.path().join("kube-score"), &program).unwrap();
    Ok(program)
}

fn cache() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".cache")))
        .unwrap_or_default()
        .join("shopctl")
}

/// The objects of an environment, with the templates below a folder in place of those that are shipped.
fn rendered(environment: &str, project: &Path) -> Vec<Json> {
    let output = Command::new(env!("CARGO_BIN_EXE_shopctl"))
        .args(["render", "-o", "json", "-e", environment])
        .env_clear()
        .env("HOME", project)
        .current_dir(project)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{environment}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    let Json::Array(objects) = answer["items"].take() else {
        panic!("{environment}: no objects");
    };
    assert!(objects.len() >= 35, "{environment}: {}", objects.len());
    objects
}

/// What a check found in an object.
struct Finding {
    object: String,
    check: String,
    grade: u64,
    words: String,
}

/// Runs kube-score on objects.
fn scored(program: &Path, objects: &[Json], options: &[&str]) -> Vec<Finding> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let texts: Vec<String> = objects.iter().map(Json::to_string).collect();
    fs::write(file.path(), texts.join("\n---\n")).unwrap();
    let besides = BESIDES.map(|check| format!("--enable-optional-test={check}"));
    let output = Command::new(program)
        .args(["score", "--output-format=json", "--kubernetes-version"])
        .arg(KUBERNETES)
        .args(besides)
        .args(options)
        .arg(file.path())
        .output()
        .unwrap();
    // It ends with 1 where it found something critical.
    let Ok(Json::Array(scores)) = serde_json::from_slice(&output.stdout) else {
        panic!(
            "kube-score answered {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    };
    assert!(scores.len() >= 35, "only {} were looked at", scores.len());
    scores.iter().flat_map(findings).collect()
}

fn findings(score: &Json) -> Vec<Finding> {
    let of = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let object = format!(
        "{}/{}",
        of(&score["type_meta"]["kind"]).to_lowercase(),
        of(&score["object_meta"]["name"])
    );
    let checks = score["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["skipped"] != true && check["grade"].as_u64().unwrap() < FINE)
        .map(|check| Finding {
            object: object.clone(),
            check: of(&check["check"]["id"]),
            grade: check["grade"].as_u64().unwrap(),
            words: check["comments"].to_string(),
        })
        .collect()
}

/// The checks that an object, or a workload's pods, do not want; and the annotations beside them.
fn ignored(object: &Json) -> Vec<(String, &Json)> {
    let places = [
        &object["metadata"]["annotations"],
        &object["spec"]["template"]["metadata"]["annotations"],
    ];
    places
        .into_iter()
        .flat_map(|annotations| {
            let checks = annotations[IGNORED].as_str().unwrap_or_default();
            checks
                .split(',')
                .map(str::trim)
                .filter(|check| !check.is_empty())
                .map(move |check| (check.to_owned(), annotations))
        })
        .collect()
}

/// Everything that must not be, in words.
fn complaints(program: &Path, objects: &[Json]) -> Vec<String> {
    let mut complaints: Vec<String> = scored(program, objects, &[])
        .into_iter()
        .filter(|it| it.grade == CRITICAL || !ASKED_FOR.contains(&it.check.as_str()))
        .map(|it| format!("{}: {}: {}", it.object, it.check, it.words))
        .collect();
    let all = scored(program, objects, &["--disable-ignore-checks-annotations"]);
    let found: BTreeSet<(&str, &str)> = all
        .iter()
        .map(|it| (it.object.as_str(), it.check.as_str()))
        .collect();
    for object in objects {
        let of = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let name = format!(
            "{}/{}",
            of(&object["kind"]).to_lowercase(),
            of(&object["metadata"]["name"])
        );
        for (check, annotations) in ignored(object) {
            let reason = annotations[format!("{REASON}{check}")].as_str();
            if reason.is_none_or(|reason| reason.split_whitespace().count() < 4) {
                complaints.push(format!("{name} does not say why it ignores {check}"));
            }
            if !found.contains(&(name.as_str(), check.as_str())) {
                complaints.push(format!("{name} ignores {check}, which finds nothing"));
            }
        }
    }
    complaints
}

#[test]
fn nothing_critical_is_found_but_what_is_annotated_with_a_reason() {
    let program = match kube_score() {
        Ok(program) => program,
        Err(reason) => return skipped::say_skipped(reason),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut environments: Vec<(String, String)> = ["single-node", "lab"]
        .map(|name| (name.to_owned(), name.to_owned()))
        .into();
    for (number, (what, text)) in OTHERS.iter().enumerate() {
        let path = folder.path().join(format!("shop-{number}.yaml"));
        let hosts = "target: k3s\nhosts: { node-1: { address: 192.0.2.10 } }";
        fs::write(&path, format!("{hosts}\n{text}\n")).unwrap();
        environments.push(((*what).to_owned(), path.display().to_string()));
    }
    for (what, environment) in environments {
        let objects = rendered(&environment, folder.path());
        let complaints = complaints(program, &objects);
        assert!(complaints.is_empty(), "{what}: {complaints:#?}");
    }
}

#[test]
fn a_critical_finding_a_missing_reason_and_a_needless_annotation_are_noticed() {
    let program = match kube_score() {
        Ok(program) => program,
        Err(reason) => return skipped::say_skipped(reason),
    };
    let folder = tempfile::tempdir().unwrap();
    let templates = folder.path().join("templates/kubernetes");
    fs::create_dir_all(&templates).unwrap();
    let shipped = include_str!("../../templates/kubernetes/service.yaml.j2");
    let complaints = |from: &str, to: &str| {
        let spoiled = shipped.replacen(from, to, 1);
        assert_ne!(spoiled, shipped, "the template says no `{from}`");
        fs::write(templates.join("service.yaml.j2"), spoiled).unwrap();
        complaints(program, &rendered("single-node", folder.path())).join("\n")
    };
    let probes = complaints(
        "          readinessProbe: {{ pod.readiness | tojson }}\n",
        "",
    );
    assert!(probes.contains("deployment/echo: pod-probes"), "{probes}");
    let ignore = "kube-score/ignore: container-image-pull-policy";
    let bare = complaints(ignore, "shopctl/nothing: x");
    assert!(
        bare.contains("deployment/order: container-image-pull-policy"),
        "{bare}"
    );
    let silent = complaints("shopctl/kube-score.", "shopctl/other.");
    assert_eq!(
        silent.lines().next().unwrap_or_default(),
        "deployment/auth does not say why it ignores container-image-pull-policy"
    );
    let needless = complaints(ignore, &format!("{ignore}, pod-networkpolicy"));
    assert!(
        needless.contains("deployment/gateway ignores pod-networkpolicy, which finds nothing"),
        "{needless}"
    );
}
