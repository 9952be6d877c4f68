//! The record of an instance's process, `instances/NAME/pid.json`: which process it is and what it was started with.
//!
//! A record is prepared by the supervisor and completed by the child itself, between fork and exec: see
//! [`super::spawn`] for why. So that the child needs neither memory nor formatting of its own, the two numbers that
//! only it knows stand at fixed places, padded with blanks, which JSON allows.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::error::SupervisorError;
use super::folder::StateFolder;
use super::identity::{self, ProcessIdentity};
use super::spec::InstanceSpec;

/// Digits of `i32::MAX`.
pub(super) const PID_WIDTH: usize = 10;
/// Digits of `u64::MAX`.
pub(super) const TICKS_WIDTH: usize = 20;
const PID_FIELD: &str = r#"{"pid":"#;
const TICKS_FIELD: &str = r#","startTicks":"#;
/// Where the pid's place begins.
pub(super) const PID_OFFSET: u64 = PID_FIELD.len() as u64;
/// Where the start time's place begins.
pub(super) const TICKS_OFFSET: u64 = PID_OFFSET + (PID_WIDTH + TICKS_FIELD.len()) as u64;

/// Which process an instance has, and what it was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessRecord {
    /// Process id.
    pub pid: i32,
    /// Start time, in clock ticks since boot.
    pub start_ticks: u64,
    /// The boot in which it was started.
    pub boot_id: String,
    /// When it was started.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// How often the instance had been started again by then.
    pub restarts: u64,
    /// What it was started with: its probe and stop signal are needed as long as it lives.
    pub spec: InstanceSpec,
}

/// The part of a record that is known before the process is there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prepared<'spec> {
    boot_id: &'spec str,
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    restarts: u64,
    spec: &'spec InstanceSpec,
}

impl ProcessRecord {
    /// The process that the record means.
    pub fn identity(&self) -> ProcessIdentity {
        ProcessIdentity {
            pid: self.pid,
            start_ticks: self.start_ticks,
            boot_id: self.boot_id.clone(),
        }
    }

    /// Reads an instance's record; none when it has none, or when one that cannot be read is from before this boot,
    /// so that its process is gone whatever it says.
    pub fn load(folder: &StateFolder, instance: &str) -> Result<Option<Self>, SupervisorError> {
        let path = folder.record(instance);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SupervisorError::read(&path, source)),
        };
        match serde_json::from_slice(&text) {
            Ok(record) => Ok(Some(record)),
            Err(_) if written_before_boot(&path) => Ok(None),
            Err(error) => Err(SupervisorError::Corrupt {
                path,
                reason: error.to_string(),
            }),
        }
    }

    /// The records of instances that are not `known`, in the order of their names. What cannot be read is given as an
    /// error: its process may live.
    pub(super) fn load_others(
        folder: &StateFolder,
        known: impl Fn(&str) -> bool,
    ) -> Vec<(String, Result<Self, SupervisorError>)> {
        let Ok(entries) = fs::read_dir(folder.instances()) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !known(name))
            .collect();
        names.sort();
        names
            .into_iter()
            .filter_map(|name| {
                let record = Self::load(folder, &name).transpose()?;
                Some((name, record))
            })
            .collect()
    }

    /// Removes the record of a process that has ended, so that nobody has to ask about it again.
    pub(super) fn remove(folder: &StateFolder, instance: &str) {
        // A record that stays is found dead the next time: nothing depends on this.
        let _ = fs::remove_file(folder.record(instance));
    }
}

/// Whether a file was last written before the machine was booted.
fn written_before_boot(path: &Path) -> bool {
    let boot_time = fs::read_to_string("/proc/stat").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse::<i64>().ok()
    });
    match (boot_time, fs::metadata(path)) {
        (Some(boot_time), Ok(metadata)) => metadata.mtime() < boot_time,
        _ => false,
    }
}

/// Writes all of a record but the two numbers, under a temporary name, and gives back the open file for the child to
/// complete. A full disk shows here, where it can still be told.
pub(super) fn prepare(
    temporary: &Path,
    spec: &InstanceSpec,
    started_at: OffsetDateTime,
    restarts: u64,
) -> Result<OwnedFd, SupervisorError> {
    let result = (|| {
        let rest = serde_json::to_string(&Prepared {
            boot_id: &identity::boot_id()?,
            started_at,
            restarts,
            spec,
        })?;
        // The first brace of `rest` is replaced by the numbers' part.
        let rest = rest.get(1..).unwrap_or_default();
        let blank = "";
        let text =
            format!("{PID_FIELD}{blank:PID_WIDTH$}{TICKS_FIELD}{blank:TICKS_WIDTH$},{rest}\n");
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(temporary)?;
        file.write_all(text.as_bytes())?;
        Ok(OwnedFd::from(file))
    })();
    result.map_err(|source| SupervisorError::write(temporary, source))
}

/// A number right-aligned in its place, without anything that allocates.
pub(super) fn pad<const WIDTH: usize>(mut number: u64) -> [u8; WIDTH] {
    let mut text = [b' '; WIDTH];
    for place in text.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::supervisor::spec::{RestartSpec, StopSignal, StopSpec};

    fn spec() -> InstanceSpec {
        InstanceSpec {
            name: "redis-0".to_owned(),
            component: "redis".to_owned(),
            ordinal: 0,
            argv: vec!["/bin/sleep".to_owned(), "1".to_owned()],
            environment: std::collections::BTreeMap::new(),
            working_dir: "/".into(),
            user: None,
            log: "/dev/null".into(),
            address: "127.0.0.1:1".to_owned(),
            probe: None,
            stop: StopSpec {
                signal: StopSignal::Term,
                timeout_seconds: 1,
            },
            restart: RestartSpec::default(),
            spec_hash: "a".to_owned(),
        }
    }

    #[test]
    fn the_numbers_fall_into_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::new(folder.path(), folder.path());
        let path = state.record("redis-0");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let started_at = OffsetDateTime::UNIX_EPOCH;
        let file = fs::File::from(prepare(&path, &spec(), started_at, 3).unwrap());
        assert!(
            ProcessRecord::load(&state, "redis-0").is_err(),
            "a record without its numbers is not a record"
        );
        file.write_all_at(&pad::<PID_WIDTH>(2_147_483_647), PID_OFFSET)
            .unwrap();
        file.write_all_at(&pad::<TICKS_WIDTH>(0), TICKS_OFFSET)
            .unwrap();
        let record = ProcessRecord::load(&state, "redis-0").unwrap().unwrap();
        assert_eq!(
            (record.pid, record.start_ticks, record.restarts),
            (2_147_483_647, 0, 3)
        );
        assert_eq!(record.spec, spec());
    }

    #[test]
    fn an_unreadable_record_from_before_this_boot_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::new(folder.path(), folder.path());
        let path = state.record("redis-0");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        assert!(ProcessRecord::load(&state, "redis-0").is_err());
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(ProcessRecord::load(&state, "redis-0").unwrap(), None);
    }
}
