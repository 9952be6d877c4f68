//! Rendered instances as the supervisor takes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{LocalFolder, ServerUser};
use crate::catalogue::{ProbeKind, StopSignal};
use crate::render::{RenderedInstance, RenderedProbe};
use crate::supervisor::{self, InstanceSpec, ProbeCheck, ProbeSpec, RestartSpec};

/// What every process finds in its environment; nothing is inherited from whoever ran `up`.
const ENVIRONMENT: [(&str, &str); 3] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("LANG", "C.UTF-8"),
    ("TZ", "UTC"),
];

/// What the supervisor is to run for an instance.
pub(super) fn spec(
    folder: &LocalFolder,
    user: ServerUser,
    instance: &RenderedInstance,
) -> InstanceSpec {
    InstanceSpec {
        name: instance.name.clone(),
        component: instance.component.clone(),
        ordinal: instance.ordinal,
        argv: instance.argv.clone(),
        environment: environment(folder, instance),
        working_dir: folder.data(&instance.name),
        user: user.run_as(),
        log: folder.log(&instance.name),
        address: instance.address.clone(),
        probe: instance.probe.as_ref().map(probe),
        stop: supervisor::StopSpec {
            signal: match instance.stop.signal {
                StopSignal::Term => supervisor::StopSignal::Term,
                StopSignal::Int => supervisor::StopSignal::Int,
                StopSignal::Quit => supervisor::StopSignal::Quit,
            },
            timeout_seconds: instance.stop.timeout_seconds,
        },
        restart: RestartSpec::default(),
        spec_hash: instance.digest(),
    }
}

/// The environment variables of an instance's processes.
pub(super) fn environment(
    folder: &LocalFolder,
    instance: &RenderedInstance,
) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = ENVIRONMENT
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let home = folder.data(&instance.name).to_string_lossy().into_owned();
    variables.insert("HOME".to_owned(), home);
    variables.extend(instance.environment.clone());
    variables
}

fn probe(probe: &RenderedProbe) -> ProbeSpec {
    let address = probe.address.clone();
    let password_file = probe.password_file.clone().map(PathBuf::from);
    let check = match probe.kind {
        ProbeKind::Http => ProbeCheck::Http {
            address,
            path: probe.path.clone().unwrap_or_else(|| "/".to_owned()),
        },
        ProbeKind::Tcp => ProbeCheck::Tcp { address },
        ProbeKind::Redis => ProbeCheck::Redis {
            address,
            user: probe.user.clone(),
            password_file,
        },
        ProbeKind::Postgres => {
            let (host, port) = address.rsplit_once(':').unwrap_or((&address, ""));
            ProbeCheck::Postgres {
                host: host.to_owned(),
                port: port.parse().unwrap_or_default(),
                database: "postgres".to_owned(),
                user: probe.user.clone().unwrap_or_else(|| "postgres".to_owned()),
                password_file,
            }
        }
        ProbeKind::Exec => ProbeCheck::Exec {
            command: probe.command.clone(),
        },
    };
    ProbeSpec {
        check,
        interval_milliseconds: probe.interval_milliseconds,
        timeout_milliseconds: probe.timeout_milliseconds,
        failures: probe.failures,
        start_seconds: probe.start_seconds,
    }
}
