//! Measures what the shop promises of time and memory, in one run, and holds it to its limits.
//!
//! `cargo build --release -p shopctl -p shopd && cargo run --release -p shopctl --example limits [ROUNDS]`
//!
//! Every round brings a shop of its own up on free ports and in a folder of its own: on nothing, again with nothing to
//! do, and again with its data. Then one with a replica of each service is weighed while it is idle. Prints a table, and
//! ends with 1 when a limit is missed. This is no test: other work on the machine counts.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)] // a measurement for people, which may fail loudly

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const SERVICES: [&str; 5] = ["gateway", "echo", "auth", "product", "order"];
/// How long the services are left alone before they are weighed.
const IDLE: Duration = Duration::from_secs(15);

/// A promise, and what was measured of it.
struct Line {
    what: &'static str,
    unit: &'static str,
    limit: f64,
    measured: Vec<f64>,
}

impl Line {
    fn new(what: &'static str, unit: &'static str, limit: f64) -> Self {
        Self {
            what,
            unit,
            limit,
            measured: Vec::new(),
        }
    }

    /// The worst counts: a promise is not kept on average.
    fn is_kept(&self) -> bool {
        !self.measured.is_empty() && self.measured.iter().all(|measured| *measured <= self.limit)
    }

    fn print(&self) {
        let measured: Vec<String> = self
            .measured
            .iter()
            .map(|measured| format!("{measured:.2}"))
            .collect();
        println!(
            "{:<58} {:>5} {:<2}  {:<6}  {}",
            self.what,
            self.limit,
            self.unit,
            if self.is_kept() { "kept" } else { "MISSED" },
            measured.join(", "),
        );
    }
}

/// A shop in a folder of its own, which is gone when this is dropped.
struct Shop {
    shopctl: PathBuf,
    folder: tempfile::TempDir,
}

impl Shop {
    fn new(shopctl: &Path, replicas: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Servers run as a user of their own when this is root: that user must be able to get here.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(folder.path().join("limits.yaml"), environment(replicas)).unwrap();
        Self {
            shopctl: shopctl.to_owned(),
            folder,
        }
    }

    /// Runs shopctl, which must succeed. Gives what it answered and how many seconds it took.
    fn run(&self, arguments: &[&str]) -> (String, f64) {
        let began = Instant::now();
        let output = self.command(arguments).output().unwrap();
        let took = began.elapsed().as_secs_f64();
        assert!(
            output.status.success(),
            "shopctl {arguments:?}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        (String::from_utf8_lossy(&output.stdout).into_owned(), took)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.shopctl);
        command
            .current_dir(self.folder.path())
            .env_remove("SHOPCTL_ENV")
            .env_remove("SHOPCTL_STATE_DIR")
            .args(["-e", "./limits.yaml", "--state-dir"])
            .arg(self.folder.path().join("state"))
            .args(arguments);
        command
    }

    /// The resident memory of all services together, in megabytes.
    fn weight(&self) -> f64 {
        let (status, _) = self.run(&["status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let instances = status["instances"].as_array().unwrap();
        let weights: Vec<f64> = instances
            .iter()
            .filter(|instance| SERVICES.iter().any(|name| instance["component"] == *name))
            .map(|instance| resident(instance["pid"].as_i64().unwrap()))
            .collect();
        assert_eq!(weights.len(), SERVICES.len(), "one replica each");
        weights.iter().sum()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self
            .command(&["down", "--purge", "--yes", "--quiet"])
            .output();
    }
}

/// The resident memory of a process, in megabytes.
fn resident(pid: i64) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes * 1024.0 / 1e6
}

/// An environment on free ports; all else is as it comes, unless a number of replicas is given.
fn environment(replicas: Option<u32>) -> String {
    use std::fmt::Write as _;
    let base = free_ports();
    let mut text = format!(
        "name: limits\ncomponents:\n  postgres: {{ ports: {{ postgres: {base} }} }}\n  \
         redis: {{ ports: {{ redis: {} }} }}\n  sentinel: {{ ports: {{ sentinel: {} }} }}\nservices:\n",
        base + 1,
        base + 5
    );
    let replicas = replicas.map_or(String::new(), |number| format!("replicas: {number}, "));
    for (number, service) in (0..).zip(SERVICES) {
        let first = base + 10 + number * 10;
        let internal = if service == "product" {
            format!(", internal: {}", first + 6)
        } else {
            String::new()
        };
        writeln!(
            text,
            "  {service}: {{ {replicas}ports: {{ http: {first}, admin: {}{internal} }} }}",
            first + 3
        )
        .unwrap();
    }
    text.push_str(
        "seed:\n  products:\n    - { sku: mug, name: Mug, price: { amountMinor: 1490 }, stock: 7 }\n",
    );
    text
}

fn free_ports() -> u16 {
    const PORTS: u16 = 60;
    for _ in 0..200 {
        let base = rand::random_range(20_000..31_000_u16);
        if (base..base + PORTS).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("there are no {PORTS} free ports in a row");
}

fn main() -> ExitCode {
    let rounds: u32 = std::env::args()
        .nth(1)
        .map_or(3, |text| text.parse().unwrap());
    // Examples lie in a folder beside the programs.
    let own = std::env::current_exe().unwrap();
    let shopctl = own.parent().unwrap().parent().unwrap().join("shopctl");
    assert!(
        shopctl.exists(),
        "{} is not built: cargo build --release -p shopctl -p shopd",
        shopctl.display()
    );
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a development build; the limits are meant for a release build");
    }
    let mut empty = Line::new("up, nothing there, to a green smoke test", "s", 20.0);
    let mut idle = Line::new("up, nothing to do", "s", 1.0);
    let mut data = Line::new("up, data there, to a green smoke test", "s", 5.0);
    let mut memory = Line::new(
        "five services, one replica each, idle: resident memory",
        "MB",
        60.0,
    );
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        let shop = Shop::new(&shopctl, None);
        empty.measured.push(shop.run(&["up"]).1);
        idle.measured.push(shop.run(&["up"]).1);
        shop.run(&["down"]);
        data.measured.push(shop.run(&["up"]).1);
    }
    eprintln!("one replica each, left alone for {} s", IDLE.as_secs());
    let shop = Shop::new(&shopctl, Some(1));
    shop.run(&["up"]);
    std::thread::sleep(IDLE);
    memory.measured.push(shop.weight());
    let lines = [empty, data, idle, memory];
    println!("{:<58} {:>5}     {:<6}  MEASURED", "WHAT", "LIMIT", "");
    for line in &lines {
        line.print();
    }
    ExitCode::from(u8::from(!lines.iter().all(Line::is_kept)))
}
