//! Ctrl-C and SIGKILL at bad moments: what was not done is not called done, what was not proved is proved the next
//! time, and nobody changes the shop while another proves it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::life::{eventually, psql, psql_as};
use super::shop::{Run, TestShop};

/// A command that runs beside the test, and what it said so far.
struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Running {
    fn start(shop: &TestShop, arguments: &[&str]) -> Self {
        let mut child = shop
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// Reads what it says until a line begins like this.
    fn until(&mut self, beginning: &str) {
        loop {
            let mut line = String::new();
            let length = self.stderr.read_line(&mut line).unwrap();
            self.said.push_str(&line);
            assert!(
                length > 0,
                "no line began with {beginning:?}:\n{}",
                self.said
            );
            if line.starts_with(beginning) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits for its end, and fails if that takes too long.
    fn end(mut self, patience: Duration) -> Run {
        let began = Instant::now();
        self.stderr.read_to_string(&mut self.said).unwrap();
        let code = self.child.wait().unwrap().code();
        assert!(began.elapsed() < patience, "it went on:\n{}", self.said);
        Run {
            code,
            stdout: String::new(),
            stderr: std::mem::take(&mut self.said),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that a failed test left stopped would keep its lock, and the shop could not be purged.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ctrl_c_in_a_step_that_waits_is_not_called_done_and_the_next_up_goes_on() {
    let shop = TestShop::new();
    // A Redis that never gets ready.
    let template = shop.project().join("templates/redis/start.sh.j2");
    std::fs::create_dir_all(template.parent().unwrap()).unwrap();
    std::fs::write(&template, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    let up = Running::start(&shop, &["up", "--no-smoke"]);
    eventually("the first process is there", || {
        shop.state().join("instances/redis-0/pid.json").exists()
    });
    up.signal(Signal::SIGINT);
    let ended = up.end(Duration::from_secs(20));
    ended.refused(
        1,
        &[
            "✗ bring up the servers: stopped by Ctrl-C, not done",
            "stopped by Ctrl-C in the step \"bring up the servers\", which is not done",
            "`shopctl up` goes on from here",
        ],
    );
    let done = ended.stderr.contains("✓ bring up the servers");
    assert!(!done, "{}", ended.stderr);
    let services = shop.pids(Some("order"));
    assert!(services.is_empty(), "later steps were begun: {services:?}");
    std::fs::remove_file(&template).unwrap();
    shop.succeed(&["up", "--no-smoke"]);
    assert!(
        shop.instances()
            .iter()
            .all(|instance| instance["state"] == "running")
    );
}

#[test]
fn ctrl_c_while_waiting_for_another_shopctl_ends_at_once() {
    let shop = TestShop::new();
    shop.begin_state();
    let path = shop.state().join("lock");
    let holder = r#"{"pid":4711,"command":"up","since":"2020-01-01T00:00:00Z"}"#;
    std::fs::write(&path, holder).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut up = Running::start(&shop, &["up"]);
    up.until("  `shopctl up` (pid 4711, for ");
    up.signal(Signal::SIGINT);
    up.end(Duration::from_secs(20)).refused(
        1,
        &["stopped by Ctrl-C in the step \"wait for another shopctl\""],
    );
    std::fs::remove_dir_all(shop.state()).unwrap();
}

#[test]
fn a_smoke_test_that_was_interrupted_or_killed_leaves_nothing_and_is_repeated_by_the_next_up() {
    let shop = TestShop::new();
    an_interrupted_one_removes_its_data_and_keeps_others_out(&shop);
    a_killed_one_is_repeated(&shop);
    a_failed_one_is_repeated(&shop);
}

fn an_interrupted_one_removes_its_data_and_keeps_others_out(shop: &TestShop) {
    let mut up = Running::start(shop, &["up"]);
    // By now there are accounts and products of the test.
    up.until("✓ catalogue");
    up.signal(Signal::SIGSTOP);
    let pid = up.child.id();
    let first = format!("`shopctl up` (pid {pid}, for ");
    for second in ["up", "smoke"] {
        shop.run(&[second, "--no-wait"])
            .refused(1, &[&first, "is at work on it"]);
    }
    assert_ne!(tagged(shop), "0 0");
    up.signal(Signal::SIGINT);
    up.signal(Signal::SIGCONT);
    let ended = up.end(Duration::from_secs(30));
    ended.refused(
        1,
        &[
            "Ctrl-C: removes the test data",
            "✓ clean-up",
            "stopped by Ctrl-C; its test data are removed",
            "`shopctl up` goes on with it",
        ],
    );
    assert_eq!(tagged(shop), "0 0");
    assert!(proved_at(shop).is_none());
}

fn a_killed_one_is_repeated(shop: &TestShop) {
    let mut up = Running::start(shop, &["up"]);
    up.until("Nothing to change");
    up.until("✓ front door");
    up.signal(Signal::SIGKILL);
    assert_eq!(up.end(Duration::from_secs(20)).code, None);
    assert!(proved_at(shop).is_none());
    let next = shop.succeed(&["up"]);
    for said in ["what is left is the proof", "checks passed"] {
        assert!(next.stderr.contains(said), "{}", next.stderr);
    }
    assert!(proved_at(shop).is_some());
    let after = shop.succeed(&["up"]);
    assert!(after.stderr.contains("Nothing to do"), "{}", after.stderr);
}

fn a_failed_one_is_repeated(shop: &TestShop) {
    // No order can be written, for as long as it takes.
    psql_as(shop, "order", "ALTER TABLE orders.orders RENAME TO hidden");
    shop.run(&["smoke"]).refused(1, &["did not pass"]);
    assert!(proved_at(shop).is_none());
    psql_as(shop, "order", "ALTER TABLE orders.hidden RENAME TO orders");
    eventually("all are ready", || {
        shop.instances()
            .iter()
            .all(|instance| instance["ready"] == true)
    });
    let next = shop.succeed(&["up"]);
    assert!(next.stderr.contains("checks passed"), "{}", next.stderr);
    assert!(proved_at(shop).is_some());
}

/// The products and accounts that smoke tests left.
fn tagged(shop: &TestShop) -> String {
    psql(
        shop,
        "SELECT (SELECT count(*) FROM product.products WHERE tag LIKE 'smoke-%') || ' ' ||
                (SELECT coalesce(sum(accounts), 0) FROM auth.test_accounts WHERE tag LIKE 'smoke-%')",
    )
}

fn proved_at(shop: &TestShop) -> Option<String> {
    let status = shop.succeed(&["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    status["provedAt"].as_str().map(ToOwned::to_owned)
}
