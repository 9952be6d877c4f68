//! What ran where: the machine, its load, and the versions of the programs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::error::LoadError;
use crate::catalogue::Catalogue;
use crate::doctor::find_tool;
use crate::environment::Environment;
use crate::report::{Hardware, LoadAverage, Software};
use crate::supervisor::Client;

/// The programs whose versions matter: component and program.
const POSTGRES: (&str, &str) = ("postgres", "postgres");
const REDIS: (&str, &str) = ("redis", "redis-server");

/// The machine.
pub(crate) fn hardware() -> Hardware {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    Hardware {
        cpu_model: model,
        cores: cores(),
        memory_bytes: kib * 1024,
    }
}

/// How many processors this process may use.
pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism()
        .ok()
        .and_then(|cores| u32::try_from(cores.get()).ok())
        .unwrap_or(1)
}

/// How long the supervisor may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// The programs that take part in a proof of the shop that runs in a folder: the shop's own commit is the one that
/// counts. With it comes what is to be said if this shopctl was built from another.
pub(crate) async fn software_of_the_shop(
    catalogue: &Catalogue,
    k6: Option<String>,
    run_dir: &Path,
) -> (Software, Option<String>) {
    let mut software = software(catalogue, k6);
    let asked = async {
        let mut client = Client::connect(run_dir).await.ok()?;
        Some(client.status().await.ok()?.commit)
    };
    let commit = tokio::time::timeout(ANSWER, asked).await.ok().flatten();
    let note = commit
        .filter(|commit| *commit != software.commit)
        .map(|commit| {
            let note = format!(
                "the shop that runs was built from commit {commit}, this shopctl from {}",
                software.commit
            );
            software.commit = commit;
            note
        });
    (software, note)
}

/// The programs that take part in a proof of a shop elsewhere: the servers on this machine are not those of the shop.
pub(crate) fn software_elsewhere(catalogue: &Catalogue, k6: Option<String>) -> Software {
    Software {
        postgres: None,
        redis: None,
        ..software(catalogue, k6)
    }
}

/// The version of the k6 that a load is made with.
pub(crate) fn k6(catalogue: &Catalogue) -> Option<String> {
    version(catalogue, (super::script::COMPONENT, "k6"))
}

fn version(catalogue: &Catalogue, (component, program): (&str, &str)) -> Option<String> {
    let programs = &catalogue.get(component)?.programs;
    let program = programs.iter().find(|known| known.name == program)?;
    find_tool(program, None)?.version
}

/// The programs that take part. `k6` is the version of the one that was found.
fn software(catalogue: &Catalogue, k6: Option<String>) -> Software {
    let version = |program| version(catalogue, program);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    Software {
        shopctl: env!("CARGO_PKG_VERSION").to_owned(),
        commit: crate::COMMIT.to_owned(),
        k6,
        postgres: version(POSTGRES),
        redis: version(REDIS),
        kernel: kernel.map(|release| release.trim().to_owned()),
        os: os
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="))
            .map(|name| name.trim_matches('"').to_owned()),
    }
}

/// More than a report of an hour needs, in KiB.
const LEAST_ROOM: u64 = 16 * 1024;

/// Fails unless there is room for a report on the disk of a folder.
pub fn ensure_room(folder: &Path) -> Result<(), LoadError> {
    let found = rustix::fs::statvfs(folder)
        .map_err(|error| LoadError::file("look at", folder)(error.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize) / 1024;
    if free < LEAST_ROOM {
        return Err(LoadError::DiskFull {
            path: folder.to_owned(),
            free,
            needed: LEAST_ROOM,
        });
    }
    Ok(())
}

/// How busy the machine is.
pub(crate) fn load_average() -> LoadAverage {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text
        .split_ascii_whitespace()
        .map_while(|number| number.parse::<f64>().ok());
    let mut next = || numbers.next().unwrap_or(0.0);
    LoadAverage {
        one_minute: next(),
        five_minutes: next(),
        fifteen_minutes: next(),
    }
}

/// The sum of an effective environment: reports of the same one can be compared.
pub(crate) fn environment_sha256(environment: &Environment) -> String {
    let text = serde_json::to_vec(environment).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_processors_memory_and_a_load() {
        let hardware = hardware();
        assert!(hardware.cores >= 1 && hardware.memory_bytes > 1 << 26);
        assert!(load_average().five_minutes >= 0.0);
    }
}
