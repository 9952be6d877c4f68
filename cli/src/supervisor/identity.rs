//! Which process is meant: a pid alone is not enough, because the kernel hands it out again.
//!
//! A process is its pid, its start time in clock ticks since boot, and the boot. Two processes never share all three.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// A process, told apart from every other one that has or had its pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: i32,
    /// Start time, in clock ticks since boot.
    pub start_ticks: u64,
    /// The kernel's id of this boot.
    pub boot_id: String,
}

/// The parts of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessStat {
    /// `R`, `S`, `D`, `T` (stopped), `Z` (zombie), `X` (dead).
    pub(super) state: u8,
    /// The process that it is a child of.
    pub(super) parent: i32,
    /// Process group.
    pub(super) group: i32,
    /// Start time, in clock ticks since boot.
    pub(super) start_ticks: u64,
}

impl ProcessIdentity {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = process_stat(pid)?;
        Some(Self {
            pid,
            start_ticks: stat.start_ticks,
            boot_id: boot_id().ok()?,
        })
    }

    /// Whether this very process still runs. A zombie does not: it only waits to be counted.
    pub fn is_alive(&self) -> bool {
        self.stat()
            .is_some_and(|stat| !matches!(stat.state, b'Z' | b'X'))
    }

    /// The kernel's letter for what this very process does: `R` and `S` live, `T` is stopped, `Z` waits to be counted.
    /// None when it is gone.
    pub fn state(&self) -> Option<char> {
        self.stat().map(|stat| char::from(stat.state))
    }

    /// Its children, theirs, and so on, whatever session or group they made themselves. Zombies are not among them.
    pub fn descendants(&self) -> Vec<Self> {
        if self.stat().is_none() {
            return Vec::new();
        }
        let living = all_processes();
        let mut family = vec![self.pid];
        let mut descendants = Vec::new();
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            next += 1;
            for (pid, stat) in &living {
                if stat.parent == parent && !family.contains(pid) {
                    family.push(*pid);
                    descendants.push(Self {
                        pid: *pid,
                        start_ticks: stat.start_ticks,
                        boot_id: self.boot_id.clone(),
                    });
                }
            }
        }
        descendants
    }

    /// What the kernel says about this very process, if it is still there.
    pub(super) fn stat(&self) -> Option<ProcessStat> {
        let stat = process_stat(self.pid)?;
        let same_boot = boot_id().is_ok_and(|boot| boot == self.boot_id);
        (same_boot && stat.start_ticks == self.start_ticks).then_some(stat)
    }
}

/// The id that the kernel drew at boot.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// Reads `/proc/PID/stat`; none when there is no such process.
pub(super) fn process_stat(pid: i32) -> Option<ProcessStat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads the fields after the command's name, which may itself hold blanks and parentheses.
pub(super) fn parse_stat(text: &[u8]) -> Option<ProcessStat> {
    let name_end = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = text
        .get(name_end + 1..)?
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let parent = parse_number(fields.next()?)?;
    let group = parse_number(fields.next()?)?;
    let start_ticks = parse_number(fields.nth(16)?)?;
    Some(ProcessStat {
        state,
        parent: i32::try_from(parent).ok()?,
        group: i32::try_from(group).ok()?,
        start_ticks,
    })
}

/// A decimal number, without anything that allocates: a child between fork and exec calls this.
fn parse_number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// All processes of a group but its leader, which may be long gone.
pub(super) fn group_members(group: i32) -> Vec<i32> {
    all_processes()
        .into_iter()
        .filter(|(pid, stat)| *pid != group && stat.group == group)
        .map(|(pid, _)| pid)
        .collect()
}

/// All processes that live.
fn all_processes() -> Vec<(i32, ProcessStat)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| Some((pid, process_stat(pid)?)))
        .filter(|(_, stat)| !matches!(stat.state, b'Z' | b'X'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let line = b"4242 (a) b (c) S 1 77 77 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 987654 1 2 3\n";
        assert_eq!(
            parse_stat(line),
            Some(ProcessStat {
                state: b'S',
                parent: 1,
                group: 77,
                start_ticks: 987_654
            })
        );
    }

    #[test]
    fn this_process_is_alive_and_its_namesake_with_another_start_time_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let me = ProcessIdentity::of(pid).unwrap();
        assert!(me.is_alive());
        let namesake = ProcessIdentity {
            start_ticks: me.start_ticks + 1,
            ..me.clone()
        };
        assert!(!namesake.is_alive());
        let other_boot = ProcessIdentity {
            boot_id: "0".to_owned(),
            ..me
        };
        assert!(!other_boot.is_alive());
    }

    #[test]
    fn a_line_cut_short_is_nobody() {
        assert_eq!(parse_stat(b"4242 (x) S 1 77"), None);
        assert_eq!(parse_stat(b""), None);
    }
}
