//! The parts that all pods of the shop have in common, whatever their component is.

use serde_json::{Value as Json, json};

use super::super::RenderedInstance;
use super::super::secret::KNOWN;
use super::files::PodFilesOf;
use crate::catalogue::{Component, ProbeKind, ProbeSpec, StopSpec};
use crate::environment::{ComponentSettings, Environment};

/// The user that every process runs as. It is nobody's on a host, and images need not know it.
const USER: u32 = 10_001;

/// How often, in seconds, a probe is made at most that is a command: to run one in a container costs 50 ms of processor
/// time, and seven pods that are asked twice a second would take most of a core. So long it may also take: to begin one on
/// a busy host takes more than a second, and a pod that lives must not be killed for that.
const COMMAND_PERIOD: u64 = 5;

/// How many seconds one has to end that does not answer that it lives: it hangs, and would not hear that it is to end. A pod
/// that only has to go is given far more ([`grace_seconds`]).
const HANGING: u64 = 5;

/// How many answers a command may owe until its pod counts as dead: so long apart, each of them counts for more.
const COMMAND_FAILURES: u32 = 3;

/// How often a pod is asked whether it lives, how long it may take to answer, and how often it may not: whole seconds, as
/// Kubernetes counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTimes {
    /// Seconds between two probes.
    pub period: u64,
    /// Seconds until one has failed.
    pub timeout: u64,
    /// How many in a row have to fail.
    pub failures: u32,
    /// Seconds that it has to end once it counts as dead.
    pub grace: u64,
}

impl ProbeTimes {
    /// Of a probe that its component declares.
    pub fn of(probe: &ProbeSpec) -> Self {
        let (least, most_failures) = match probe.kind {
            ProbeKind::Http | ProbeKind::Tcp => (1, u32::MAX),
            ProbeKind::Redis | ProbeKind::Postgres | ProbeKind::Exec => {
                (COMMAND_PERIOD, COMMAND_FAILURES)
            }
        };
        let seconds = |milliseconds: u64| milliseconds.div_ceil(1000).max(least);
        Self {
            period: seconds(probe.interval_milliseconds),
            timeout: seconds(probe.timeout_milliseconds),
            failures: probe.failures.clamp(1, most_failures),
            grace: HANGING,
        }
    }
}

/// How many seconds a pod has to end: it first waits until nobody sends it anything, then ends what it has begun.
pub fn grace_seconds(environment: &Environment, stop: &StopSpec) -> u64 {
    u64::from(environment.k3s.rollout.linger_seconds) + stop.timeout_seconds
}

/// Parts of a pod as templates see them; each is written with `tojson`.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodParts {
    /// Labels, and what makes a pod a new one when its files or secrets change.
    pub(super) metadata: Json,
    /// The fields of a pod's spec beside its containers and volumes.
    pub(super) common: Json,
    /// The security context of each container.
    pub(super) security: Json,
    /// Volumes with files and secrets, and what may be written to.
    pub(super) volumes: Vec<Json>,
    /// Where they are mounted.
    pub(super) mounts: Vec<Json>,
    /// Ports of the container.
    pub(super) ports: Vec<Json>,
    /// Variables of the container.
    pub(super) variables: Vec<Json>,
    /// What a container is promised, and may use at most.
    pub(super) resources: Json,
    /// When a probe is made; what is asked is for the template to say.
    pub(super) startup: Json,
    /// The same for readiness.
    pub(super) readiness: Json,
    /// The same for liveness.
    pub(super) liveness: Json,
}

/// The parts of a component's pods.
pub(super) fn parts(
    environment: &Environment,
    component: &Component,
    settings: &ComponentSettings,
    instance: &RenderedInstance,
    files: &PodFilesOf<'_>,
    checksum: &str,
) -> PodParts {
    let name = component.name.as_str();
    let (startup, readiness, liveness) = probes(component, instance);
    PodParts {
        metadata: json!({
            "labels": { "app.kubernetes.io/name": name },
            "annotations": { "shopctl/checksum": checksum },
        }),
        common: common(environment, name, name, &component.stop),
        security: container_security(),
        volumes: volumes(files),
        mounts: mounts(files),
        ports: settings
            .ports
            .iter()
            .map(|(port, number)| json!({ "name": port, "containerPort": number, "protocol": "TCP" }))
            .collect(),
        variables: variables(component, instance),
        resources: resources(settings),
        startup,
        readiness,
        liveness,
    }
}

/// The fields of a pod's spec that follow from no template.
pub(super) fn common(
    environment: &Environment,
    name: &str,
    account: &str,
    stop: &StopSpec,
) -> Json {
    let seconds = environment.k3s.node_loss.toleration_seconds;
    let tolerations: Vec<Json> = ["not-ready", "unreachable"]
        .into_iter()
        .map(|state| {
            json!({
                "key": format!("node.kubernetes.io/{state}"),
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": seconds,
            })
        })
        .collect();
    json!({
        "serviceAccountName": account,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": grace_seconds(environment, stop),
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "tolerations": tolerations,
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": { "app.kubernetes.io/name": name } },
        }],
        "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100,
            "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": { "matchExpressions": [
                    { "key": "app.kubernetes.io/name", "operator": "In", "values": [name] },
                ] },
            },
        }] } },
    })
}

/// What no container may do.
pub(super) fn container_security() -> Json {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "privileged": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
    })
}

/// Volumes with files and secrets, and the two folders that may be written to.
pub(super) fn volumes(files: &PodFilesOf<'_>) -> Vec<Json> {
    let mut volumes = files.volumes();
    volumes.push(json!({ "name": "run", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } }));
    volumes.push(json!({ "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } }));
    volumes
}

/// Where the volumes are mounted.
pub(super) fn mounts(files: &PodFilesOf<'_>) -> Vec<Json> {
    let mut mounts = files.mounts();
    mounts.push(json!({ "name": "run", "mountPath": "/run/shop" }));
    mounts.push(json!({ "name": "tmp", "mountPath": "/tmp" }));
    mounts
}

fn variables(component: &Component, instance: &RenderedInstance) -> Vec<Json> {
    let mut variables = vec![json!({
        "name": "POD_NAME",
        "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } },
    })];
    // Data that know a secret are there since it was noted beside it. A volume without any is then not theirs.
    let known = component
        .secrets
        .iter()
        .find(|secret| secret.is_known_by_data());
    variables.extend(known.map(|secret| {
        let key = format!("{}{KNOWN}", secret.name);
        json!({
            "name": "DATA_SINCE",
            "valueFrom": { "secretKeyRef": { "name": secret.object, "key": key, "optional": true } },
        })
    }));
    variables.extend(
        instance
            .environment
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value })),
    );
    variables
}

/// Disk beside processor and memory: what a container writes outside of its volumes are its logs.
fn resources(settings: &ComponentSettings) -> Json {
    let mut resources = json!(settings.resources);
    resources["requests"]["ephemeral-storage"] = json!("16Mi");
    resources["limits"]["ephemeral-storage"] = json!("256Mi");
    resources
}

/// The times of the three probes, and what they ask if that is an HTTP request or a connection.
fn probes(component: &Component, instance: &RenderedInstance) -> (Json, Json, Json) {
    let (Some(spec), Some(probe)) = (&component.probe, &instance.probe) else {
        return (Json::Null, Json::Null, Json::Null);
    };
    let ProbeTimes {
        period,
        timeout,
        failures,
        grace,
    } = ProbeTimes::of(spec);
    let mut ready = json!({
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": 2,
    });
    let mut alive = json!({
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    });
    if let Some(port) = &spec.port {
        match probe.kind {
            ProbeKind::Http => {
                let path = probe.path.as_deref().unwrap_or("/");
                ready["httpGet"] = json!({ "path": path, "port": port });
                // Whether it can work is not whether it lives: one that waits for the database is not started again.
                let path = path.replace("/readyz", "/healthz");
                alive["httpGet"] = json!({ "path": path, "port": port });
            }
            ProbeKind::Tcp => {
                ready["tcpSocket"] = json!({ "port": port });
                alive["tcpSocket"] = json!({ "port": port });
            }
            ProbeKind::Redis | ProbeKind::Postgres | ProbeKind::Exec => {}
        }
    }
    let mut started = alive.clone();
    started["periodSeconds"] = json!(1);
    started["failureThreshold"] = json!(probe.start_seconds);
    alive["terminationGracePeriodSeconds"] = json!(grace);
    (started, ready, alive)
}
