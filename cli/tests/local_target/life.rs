//! A shop from its first `up` to its purge.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use super::shop::TestShop;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Looks until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub(crate) fn kill(pid: i64) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// When each file was last changed, without what running servers write and without the lock.
fn changes(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut changes = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if ["data", "log", "lock", "supervisor.log"]
                .iter()
                .any(|skipped| name == *skipped)
            {
                continue;
            }
            let metadata = entry.metadata().unwrap();
            changes.insert(entry.path(), metadata.modified().unwrap());
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    changes
}

/// The shop is brought up once, and everything that can be seen of a running one is seen of that one: an `up` for each
/// question would take minutes.
#[test]
fn a_shop_comes_up_is_proved_changed_killed_taken_over_stopped_and_purged() {
    let shop = TestShop::new();
    let plan = shop.run(&["plan"]);
    assert_eq!(plan.code, Some(4), "{}", plan.stderr);
    assert!(!shop.state().exists(), "a plan made something");
    let up = shop.succeed(&["up"]);
    assert!(up.stderr.contains("checks passed"), "{}", up.stderr);

    all_instances_run(&shop);
    nothing_is_done_twice(&shop);
    durability_is_on(&shop);
    secrets_are_kept_from_others(&shop);
    a_secret_that_is_gone_is_made_anew_and_told_to_who_uses_it(&shop);
    a_changed_setting_restarts_only_what_it_is_for(&shop);
    a_killed_supervisor_is_replaced_by_one_that_takes_over(&shop);
    a_supervisor_that_hangs_is_replaced_by_one_that_takes_over(&shop);
    a_killed_master_is_followed_by_exactly_one(&shop);
    everything_killed_at_once_comes_back(&shop);
    a_stopped_shop_comes_back_with_its_data(&shop);
    purge_asks_first(&shop);
}

fn all_instances_run(shop: &TestShop) {
    let instances = shop.instances();
    let mut roles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for instance in &instances {
        assert_eq!(instance["state"], "running", "{instance}");
        assert_eq!(instance["restarts"], 0, "{instance}");
        assert!(
            instance["since"].is_string() && instance["address"].is_string(),
            "{instance}"
        );
        let component = instance["component"].as_str().unwrap().to_owned();
        let role = instance["role"].as_str().unwrap().to_owned();
        roles.entry(component).or_default().push(role);
    }
    for roles in roles.values_mut() {
        roles.sort();
    }
    let expected = [
        ("auth", vec!["replica"; 2]),
        ("echo", vec!["replica"]),
        ("gateway", vec!["replica"; 2]),
        ("order", vec!["replica"; 2]),
        ("postgres", vec!["primary"]),
        ("product", vec!["replica"; 2]),
        ("redis", vec!["master", "replica", "replica"]),
        ("sentinel", vec!["sentinel"; 3]),
    ];
    let roles: Vec<(&str, Vec<&str>)> = roles
        .iter()
        .map(|(component, roles)| {
            (
                component.as_str(),
                roles.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    assert_eq!(roles, expected);
}

fn nothing_is_done_twice(shop: &TestShop) {
    let before = (changes(&shop.state()), shop.pids(None));
    let again = shop.succeed(&["up"]);
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    let plan = shop.succeed(&["plan"]);
    assert!(plan.stderr.contains("Nothing to do"), "{}", plan.stderr);
    assert_eq!((changes(&shop.state()), shop.pids(None)), before);
}

fn durability_is_on(shop: &TestShop) {
    let asked = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN \
                 ('data_checksums', 'fsync', 'full_page_writes', 'password_encryption', 'synchronous_commit')";
    assert_eq!(
        psql(shop, asked),
        "data_checksums=on fsync=on full_page_writes=on password_encryption=scram-sha-256 synchronous_commit=on"
    );
    for instance in 0..3 {
        assert_eq!(
            redis(shop, 1 + instance, &["CONFIG", "GET", "appendonly"]),
            "appendonly\nyes"
        );
        assert_eq!(
            redis(
                shop,
                1 + instance,
                &["CONFIG", "GET", "min-replicas-to-write"]
            ),
            "min-replicas-to-write\n1"
        );
    }
}

/// What Postgres answers to the auditor, who may read everything.
pub(crate) fn psql(shop: &TestShop, question: &str) -> String {
    psql_as(shop, "auditor", question)
}

/// What Postgres answers to one of the shop's roles.
pub(crate) fn psql_as(shop: &TestShop, role: &str, question: &str) -> String {
    let output = Command::new("psql")
        .args([
            "-qtA",
            "-h",
            "127.0.0.1",
            "-U",
            &format!("shop_{role}"),
            "-d",
            "shop",
            "-c",
            question,
        ])
        .args(["-p", &shop.port(0).to_string()])
        .env("PGPASSWORD", shop.secret(&format!("postgres-{role}")))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn redis(shop: &TestShop, offset: u16, command: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args([
            "--no-auth-warning",
            "--user",
            "admin",
            "-p",
            &shop.port(offset).to_string(),
        ])
        .args(command)
        .env("REDISCLI_AUTH", shop.secret("redis-admin"))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn secrets_are_kept_from_others(shop: &TestShop) {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = shop.state().join("secrets");
    assert_eq!(mode(&folder), 0o700);
    let mut values = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        values.push(std::fs::read_to_string(&path).unwrap().trim().to_owned());
    }
    assert!(values.len() > 10, "there are only {} secrets", values.len());
    for pid in shop.pids(None) {
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let told = values.iter().any(|value| text.contains(value.as_str()));
            assert!(!told, "process {pid} shows a secret in its {file}");
        }
    }
}

fn a_secret_that_is_gone_is_made_anew_and_told_to_who_uses_it(shop: &TestShop) {
    let before = (shop.pids(Some("order")), shop.pids(Some("echo")));
    let old = shop.secret("postgres-order");
    let secrets = shop.state().join("secrets");
    std::fs::remove_file(secrets.join("postgres-order")).unwrap();
    // Restored by hand, a file may be anybody's to read.
    let restored = secrets.join("redis-order");
    std::fs::set_permissions(&restored, std::fs::Permissions::from_mode(0o644)).unwrap();
    let up = shop.succeed(&["up"]);
    assert!(up.stderr.contains("postgres-order anew"), "{}", up.stderr);
    assert!(up.stderr.contains("checks passed"), "{}", up.stderr);
    assert_ne!(shop.secret("postgres-order"), old);
    assert_ne!(shop.pids(Some("order")), before.0);
    assert_eq!(shop.pids(Some("echo")), before.1);
    secrets_are_kept_from_others(shop);

    // Processes that know each other by it cannot be told one after the other.
    let shared = secrets.join("redis-replication");
    let kept = std::fs::read(&shared).unwrap();
    std::fs::remove_file(&shared).unwrap();
    shop.run(&["up"])
        .refused(1, &["recognize each other by it", "`shopctl down`"]);
    std::fs::write(&shared, kept).unwrap();
}

fn a_changed_setting_restarts_only_what_it_is_for(shop: &TestShop) {
    let others = |shop: &TestShop| -> Vec<i64> {
        let order = shop.pids(Some("order"));
        shop.pids(None)
            .into_iter()
            .filter(|pid| !order.contains(pid))
            .collect()
    };
    let before = (shop.pids(Some("order")), others(shop));
    shop.write_environment(", settings: { batchSize: 512 }");
    let plan = shop.run(&["plan"]);
    assert_eq!(plan.code, Some(4), "{}", plan.stderr);
    assert!(
        plan.stdout
            .contains("bring up the services: replace order-"),
        "{}",
        plan.stdout
    );
    assert_eq!((shop.pids(Some("order")), others(shop)), before);
    shop.succeed(&["up", "--no-smoke"]);
    let after = (shop.pids(Some("order")), others(shop));
    assert_eq!(before.1, after.1);
    assert!(
        before.0.iter().all(|pid| !after.0.contains(pid)),
        "{before:?} {after:?}"
    );
    let written = shop.state().join("instances/order-1/config/order.toml");
    let text = std::fs::read_to_string(written).unwrap();
    assert!(text.contains("batchSize = 512"), "{text}");
}

pub(crate) fn supervisor(shop: &TestShop) -> Option<i64> {
    let run = shop.succeed(&["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    status["supervisor"].as_i64()
}

fn a_killed_supervisor_is_replaced_by_one_that_takes_over(shop: &TestShop) {
    let before = shop.pids(None);
    kill(supervisor(shop).unwrap());
    eventually("the supervisor is gone", || supervisor(shop).is_none());
    let status = shop.succeed(&["status"]);
    assert!(
        status.stderr.contains("the supervisor is gone"),
        "{}",
        status.stderr
    );
    assert_eq!(
        shop.pids(None),
        before,
        "what lives is shown without a supervisor"
    );
    shop.succeed(&["up", "--no-smoke"]);
    assert_eq!(shop.pids(None), before);
    assert!(supervisor(shop).is_some());
}

fn a_supervisor_that_hangs_is_replaced_by_one_that_takes_over(shop: &TestShop) {
    let before = shop.pids(None);
    let hung = supervisor(shop).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(hung).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let status = shop.succeed(&["status"]);
    assert!(
        status.stderr.contains("the supervisor does not answer"),
        "{}",
        status.stderr
    );
    let up = shop.succeed(&["up", "--no-smoke"]);
    assert!(
        up.stderr.contains("it replaces one that does not answer"),
        "{}",
        up.stderr
    );
    assert_eq!(shop.pids(None), before);
    assert!(supervisor(shop).is_some_and(|pid| pid != hung));
}

fn masters(shop: &TestShop) -> Vec<String> {
    shop.instances()
        .iter()
        .filter(|instance| instance["role"] == "master" && instance["state"] == "running")
        .map(|instance| instance["instance"].as_str().unwrap().to_owned())
        .collect()
}

fn a_killed_master_is_followed_by_exactly_one(shop: &TestShop) {
    // A Sentinel learns of replicas when it asks the master, every ten seconds.
    eventually("the Sentinels know both replicas", || {
        (0..3).all(|sentinel| sentinel_knows(shop, sentinel) == Some(2))
    });
    let before = masters(shop);
    let [master] = before.as_slice() else {
        panic!("there are {} masters: {before:?}", before.len());
    };
    let number: u16 = master.strip_prefix("redis-").unwrap().parse().unwrap();
    assert_eq!(redis(shop, 1 + number, &["SET", "kept", "yes"]), "OK");
    assert_eq!(redis(shop, 1 + number, &["WAIT", "2", "5000"]), "2");
    let pid = shop
        .instances()
        .iter()
        .find(|instance| instance["instance"] == *master)
        .unwrap()["pid"]
        .as_i64()
        .unwrap();
    kill(pid);
    eventually("another one is the only master", || {
        let now = masters(shop);
        now.len() == 1 && now != before
    });
    eventually("all three have what was written before", || {
        (0..3).all(|instance| redis(shop, 1 + instance, &["GET", "kept"]) == "yes")
    });
    eventually("it is still the only one", || masters(shop).len() == 1);
}

/// The number of replicas that a Sentinel knows.
fn sentinel_knows(shop: &TestShop, sentinel: u16) -> Option<usize> {
    let output = Command::new("redis-cli")
        .args([
            "--no-auth-warning",
            "--user",
            "client",
            "-p",
            &shop.port(5 + sentinel).to_string(),
        ])
        .args(["SENTINEL", "MASTER", "shop"])
        .env("REDISCLI_AUTH", shop.secret("sentinel-client"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    lines.find(|line| *line == "num-slaves")?;
    lines.next()?.parse().ok()
}

fn everything_killed_at_once_comes_back(shop: &TestShop) {
    let mut pids = shop.pids(None);
    pids.extend(supervisor(shop));
    for pid in pids {
        kill(pid);
    }
    shop.succeed(&["up"]);
    eventually("there is one master", || masters(shop).len() == 1);
}

fn a_stopped_shop_comes_back_with_its_data(shop: &TestShop) {
    let identifier = psql(shop, "SELECT system_identifier FROM pg_control_system()");
    let products = psql(shop, "SELECT count(*) FROM product.products");
    let secret = shop.secret("postgres-order");
    shop.succeed(&["down"]);
    let instances = shop.instances();
    assert!(
        instances
            .iter()
            .all(|instance| instance["state"] == "stopped"),
        "{instances:?}"
    );
    assert_eq!(supervisor(shop), None);
    let again = shop.succeed(&["down"]);
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    shop.succeed(&["up", "--no-smoke"]);
    assert_eq!(
        psql(shop, "SELECT system_identifier FROM pg_control_system()"),
        identifier
    );
    assert_eq!(
        psql(shop, "SELECT count(*) FROM product.products"),
        products
    );
    assert_eq!(products, "1");
    assert_eq!(shop.secret("postgres-order"), secret);
}

fn purge_asks_first(shop: &TestShop) {
    let pids = shop.pids(None);
    // Nobody can answer here, so the answer is no.
    shop.run(&["down", "--purge"])
        .refused(2, &["it was not confirmed", "--yes"]);
    assert_eq!(shop.pids(None), pids, "nothing was touched");
    shop.succeed(&["down", "--purge", "--yes"]);
    assert!(!shop.state().exists());
    for pid in pids {
        assert!(
            !Path::new(&format!("/proc/{pid}")).exists(),
            "process {pid} still lives"
        );
    }
}
