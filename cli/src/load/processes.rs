//! What processes use, as the kernel tells: processor time, memory, and how long they waited for a processor.

use std::collections::{BTreeMap, HashMap};
use std::fs;

/// What a process and all that it started have used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Processor time in seconds, also of children that have ended.
    pub(super) cpu: f64,
    /// Memory that is resident now, in bytes; what processes share is counted once.
    pub(super) resident: u64,
    /// How long their threads wanted a processor and waited for one, in seconds; `None`: the kernel does not tell.
    pub(super) waiting: Option<f64>,
}

/// The processes of this machine at a moment: who started whom.
#[derive(Debug, Default)]
pub(super) struct ProcessTable {
    children: HashMap<i32, Vec<i32>>,
    ticks: HashMap<i32, u64>,
}

impl ProcessTable {
    /// Reads it.
    pub(super) fn read() -> Self {
        let mut table = Self::default();
        let Ok(entries) = fs::read_dir("/proc") else {
            return table;
        };
        for pid in entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        {
            let Some(stat) = fs::read_to_string(format!("/proc/{pid}/stat"))
                .ok()
                .and_then(|text| Stat::parse(&text))
            else {
                continue;
            };
            table.children.entry(stat.parent).or_default().push(pid);
            table.ticks.insert(pid, stat.ticks);
        }
        table
    }

    /// A process and all that it started, directly or not.
    fn family(&self, root: i32) -> Vec<i32> {
        let mut family = vec![root];
        let mut next = 0;
        while let Some(pid) = family.get(next) {
            if let Some(children) = self.children.get(pid) {
                family.extend(children);
            }
            next += 1;
        }
        family
    }

    /// What a process and all that it started use. `None`: it is gone.
    pub(super) fn usage(&self, root: i32, with_waiting: bool) -> Option<Usage> {
        self.ticks.get(&root)?;
        let family = self.family(root);
        let ticks: u64 = family.iter().filter_map(|pid| self.ticks.get(pid)).sum();
        let mut private = 0;
        let mut shared = 0;
        for pid in &family {
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
                continue;
            };
            private += bytes(&status, "RssAnon:");
            // Forks map the same files and the same shared memory: what one of them has seen, the others have.
            shared = shared.max(bytes(&status, "RssFile:") + bytes(&status, "RssShmem:"));
        }
        Some(Usage {
            cpu: ticks as f64 / ticks_a_second(),
            resident: private + shared,
            waiting: with_waiting
                .then(|| family.iter().map(|pid| waiting(*pid)).sum())
                .flatten(),
        })
    }
}

struct Stat {
    parent: i32,
    /// Its own processor time and that of children whose end it has seen: over a family each tick counts once.
    ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name may hold anything, so what follows it is counted from its end.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let times: Vec<u64> = fields
            .skip(9)
            .take(4)
            .map_while(|field| field.parse().ok())
            .collect();
        (times.len() == 4).then(|| Self {
            parent,
            ticks: times.iter().sum(),
        })
    }
}

fn ticks_a_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// The bytes behind a name in `/proc/PID/status`, which tells KiB.
fn bytes(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// How long the threads of a process waited for a processor, in seconds.
fn waiting(pid: i32) -> Option<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut nanoseconds = 0u64;
    let mut seen = false;
    for thread in threads.filter_map(Result::ok) {
        if let Some(waited) = fs::read_to_string(thread.path().join("schedstat"))
            .ok()
            .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
        {
            nanoseconds += waited;
            seen = true;
        }
    }
    seen.then_some(nanoseconds as f64 / 1e9)
}

/// Turns what was used so far into what was used since the last look.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// What each process had used at the last look. Another process under the same name begins anew.
    last: BTreeMap<String, (i32, Usage)>,
}

/// What was used since the last look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Used {
    /// Processor time in seconds.
    pub(super) cpu: f64,
    /// Memory that is resident now, in bytes.
    pub(super) resident: u64,
    /// How long it waited for a processor, in seconds.
    pub(super) waiting: Option<f64>,
}

impl Meter {
    /// What a process has used since the last look at it. `None`: this is the first look at it.
    pub(super) fn since(&mut self, name: &str, pid: i32, usage: Usage) -> Option<Used> {
        let (before, last) = self.last.insert(name.to_owned(), (pid, usage))?;
        // A thread that ended took what it had waited along.
        let waiting = usage
            .waiting
            .zip(last.waiting)
            .map(|(now, before)| (now - before).max(0.0));
        (before == pid).then(|| Used {
            cpu: (usage.cpu - last.cpu).max(0.0),
            resident: usage.resident,
            waiting,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_process_are_counted_from_the_end_of_its_name() {
        let text =
            "4711 (a (b) c) S 17 4711 4711 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 99 0 0\n";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.parent, stat.ticks), (17, 127));
        assert!(Stat::parse("4711 (x) S 17 1").is_none());
    }

    #[test]
    fn this_process_has_used_something_and_waited_for_some_time() {
        let own = i32::try_from(std::process::id()).unwrap();
        let usage = ProcessTable::read().usage(own, true).unwrap();
        assert!(usage.resident > 1 << 20, "{usage:?}");
        assert!(ProcessTable::read().usage(-1, true).is_none());
    }

    #[test]
    fn a_family_is_everybody_who_descends_from_the_root() {
        let table = ProcessTable {
            children: HashMap::from([(1, vec![2, 9]), (2, vec![3, 4]), (4, vec![5])]),
            ticks: HashMap::new(),
        };
        let mut family = table.family(2);
        family.sort_unstable();
        assert_eq!(family, [2, 3, 4, 5]);
    }

    #[test]
    fn a_process_that_was_replaced_is_not_measured_against_the_one_before() {
        let usage = |cpu| Usage {
            cpu,
            resident: 1,
            waiting: Some(cpu),
        };
        let mut meter = Meter::default();
        assert_eq!(meter.since("order-0", 10, usage(5.0)), None);
        let used = meter.since("order-0", 10, usage(5.5)).unwrap();
        assert!(
            (used.cpu - 0.5).abs() < 1e-9 && used.waiting.is_some_and(|it| (it - 0.5).abs() < 1e-9)
        );
        assert_eq!(meter.since("order-0", 11, usage(0.25)), None);
    }
}
