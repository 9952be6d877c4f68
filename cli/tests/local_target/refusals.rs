//! What must not go on: each says what, where and what to do, and leaves nothing behind.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::Command;

use rustix::fs::FlockOperation;

use super::shop::TestShop;
use super::skipped::say_skipped;

#[test]
fn a_taken_port_is_named_with_its_holder_and_nothing_is_started() {
    let shop = TestShop::new();
    let _holder = TcpListener::bind(("127.0.0.1", shop.port(14))).unwrap();
    let pid = std::process::id();
    shop.run(&["up"]).refused(
        3,
        &[
            &format!(
                "port {}, which echo-0 needs, is held by process {pid}",
                shop.port(14)
            ),
            "local_target",
            "stop it, or choose other ports with `services.echo.ports.http`",
        ],
    );
    assert!(!shop.state().exists(), "the folder of the lock stays");
}

#[test]
fn a_folder_that_holds_something_else_is_neither_used_nor_purged() {
    let shop = TestShop::new();
    std::fs::create_dir(shop.state()).unwrap();
    let file = shop.state().join("thesis.tex");
    std::fs::write(&file, "years of work").unwrap();
    shop.run(&["up"]).refused(
        2,
        &[
            "there are files in it that shopctl did not make",
            "--state-dir",
        ],
    );
    shop.run(&["down", "--purge", "--yes"])
        .refused(2, &["there are files in it that shopctl did not make"]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "years of work");
}

#[test]
fn the_state_folder_of_another_environment_is_refused_by_its_name() {
    let shop = TestShop::new();
    shop.begin_state();
    std::fs::write(
        shop.state().join("environment.json"),
        r#"{"environment":"staging","runDir":"/run"}"#,
    )
    .unwrap();
    shop.run(&["up"])
        .refused(2, &["it holds the environment `staging`", "-e staging"]);
    std::fs::remove_dir_all(shop.state()).unwrap();
}

#[test]
fn a_damaged_marker_is_named_and_not_overwritten() {
    let shop = TestShop::new();
    shop.begin_state();
    let marker = shop.state().join("environment.json");
    std::fs::write(&marker, "{\"envir").unwrap();
    shop.run(&["up"])
        .refused(1, &["environment.json", "failed to understand"]);
    assert_eq!(std::fs::read_to_string(&marker).unwrap(), "{\"envir");
    std::fs::remove_dir_all(shop.state()).unwrap();
}

#[test]
fn an_empty_secret_is_refused_and_not_made_again() {
    let shop = TestShop::new();
    shop.begin_state();
    let secret = shop.state().join("secrets/postgres-order");
    std::fs::write(&secret, "\n").unwrap();
    shop.run(&["up"]).refused(
        1,
        &[
            "failed to read the secret",
            "postgres-order",
            "the file is empty",
            "backup",
        ],
    );
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "\n");
    std::fs::write(&secret, [0xff, 0xfe]).unwrap();
    shop.run(&["up"])
        .refused(1, &["postgres-order", "the file is not text", "backup"]);
}

#[test]
fn a_secret_that_data_know_is_not_made_again() {
    let shop = TestShop::new();
    shop.begin_state();
    let data = shop.state().join("instances/postgres-0/data/pgdata");
    std::fs::create_dir_all(data.join("base")).unwrap();
    let secret = shop.state().join("secrets/postgres-superuser");
    shop.run(&["up"]).refused(
        1,
        &[
            "failed to find the secret",
            secret.to_str().unwrap(),
            "nothing was touched",
            "restore the file from a backup",
            &format!(
                "/postgres' --single -D '{}'/pgdata",
                data.parent().unwrap().display()
            ),
            &format!("cat '{}'", secret.display()),
            "`shopctl down --purge`",
        ],
    );
    let made = std::fs::read_dir(shop.state().join("secrets")).unwrap();
    assert_eq!(made.count(), 0, "other secrets were made");
}

#[test]
fn a_damaged_key_is_refused_and_not_made_again() {
    let shop = TestShop::new();
    shop.begin_state();
    let secret = shop.state().join("secrets/auth-signing-key");
    std::fs::write(&secret, "no key\n").unwrap();
    shop.run(&["up"]).refused(
        1,
        &["failed to read the secret", "auth-signing-key", "backup"],
    );
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "no key\n");
}

#[test]
fn who_is_at_work_already_is_named_by_the_second() {
    let shop = TestShop::new();
    shop.begin_state();
    let path = shop.state().join("lock");
    let holder = r#"{"pid":4711,"command":"up","since":"2020-01-01T00:00:00Z"}"#;
    std::fs::write(&path, holder).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    rustix::fs::flock(&file, FlockOperation::LockExclusive).unwrap();
    shop.run(&["up", "--no-wait"]).refused(
        1,
        &[
            "`shopctl up` (pid 4711, for ",
            "is at work on it",
            "--no-wait",
        ],
    );
    drop(file);
}

#[test]
fn a_template_that_asks_for_what_is_not_there_is_named_with_its_line() {
    let shop = TestShop::new();
    let folder = shop.project().join("templates/redis");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("redis.conf.j2"),
        "port 1\nbind {{ instance.hots }}\n",
    )
    .unwrap();
    shop.run(&["up"]).refused(
        2,
        &[
            "templates/redis/redis.conf.j2:2",
            "`bind {{ instance.hots }}`",
            "a template sees",
        ],
    );
    assert!(!shop.state().join("instances").exists());
}

#[test]
fn data_of_another_postgres_version_are_refused_with_the_way_out() {
    let shop = TestShop::new();
    shop.begin_state();
    let data = shop.state().join("instances/postgres-0/data/pgdata");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("PG_VERSION"), "9\n").unwrap();
    shop.run(&["up"]).refused(
        3,
        &[
            "postgres 9, which postgres needs",
            "were made by version 9",
            "apt-get install postgresql-9",
            "pg_upgrade",
        ],
    );
    let text = std::fs::read_to_string(shop.environment()).unwrap();
    let asking = text.replace("postgres: {", "postgres: { version: \"15\",");
    std::fs::write(shop.environment(), asking).unwrap();
    shop.run(&["up"]).refused(
        3,
        &[
            "asks for version 15 of postgres, but the data in",
            "`components.postgres.version: \"9\"`",
        ],
    );
    assert_eq!(
        std::fs::read_to_string(data.join("PG_VERSION")).unwrap(),
        "9\n"
    );
}

#[test]
fn a_full_disk_is_found_before_anything_is_made() {
    let shop = TestShop::new();
    if !nix::unistd::Uid::effective().is_root() {
        say_skipped("a small disk can only be mounted by root");
        return;
    }
    std::fs::create_dir(shop.state()).unwrap();
    let disk = Disk::mount(&shop.state(), "size=32m");
    let run = shop.run(&["up"]);
    let left = std::fs::read_dir(shop.state()).unwrap().count();
    drop(disk);
    run.refused(3, &["MiB free", "--state-dir"]);
    assert_eq!(left, 0, "files were made on the full disk");
}

#[test]
fn a_shop_on_a_disk_that_is_full_by_now_can_be_purged() {
    let shop = TestShop::new();
    if !nix::unistd::Uid::effective().is_root() {
        say_skipped("a small disk can only be mounted by root");
        return;
    }
    std::fs::create_dir(shop.state()).unwrap();
    let disk = Disk::mount(&shop.state(), "size=1g");
    shop.write_small_environment();
    shop.succeed(&["up", "--no-smoke"]);
    let status = shop.succeed(&["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let supervisor = i32::try_from(status["supervisor"].as_i64().unwrap()).unwrap();
    // Without a supervisor a purge has to start one, and that one has to write as well.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(supervisor),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    disk.fill();
    let again = shop.run(&["up", "--no-smoke"]);
    let purge = shop.run(&["down", "--purge", "--yes"]);
    let left = std::fs::read_dir(shop.state()).unwrap().count();
    drop(disk);
    again.refused(3, &["MiB free", "free some space"]);
    assert_eq!(purge.code, Some(0), "{}", purge.stderr);
    assert_eq!(left, 0);
}

/// A small file system at a folder, until it is dropped.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(path: &std::path::Path, options: &str) -> Self {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .status()
            .unwrap();
        assert!(mounted.success(), "the small disk could not be mounted");
        Self(path.to_owned())
    }

    /// Leaves not a byte.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filling")).unwrap();
        let block = vec![0; 1 << 16];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn rendered_files_hold_no_secrets_and_replace_only_their_own() {
    let shop = TestShop::new();
    shop.succeed(&["render", "--out-dir", "out"]);
    let out = shop.project().join("out");
    let conf = std::fs::read_to_string(out.join("redis-0/redis.conf")).unwrap();
    assert!(
        conf.contains("masterauth \"SECRET-redis-replication\""),
        "{conf}"
    );
    assert!(!shop.state().exists());
    assert!(out.join("order-1/order.toml").exists());
    // One replica less, and its files go; a file of somebody else's in the folder stays.
    std::fs::write(out.join("order-1/notes.txt"), "mine").unwrap();
    let text = std::fs::read_to_string(shop.environment()).unwrap();
    std::fs::write(
        shop.environment(),
        text.replace("order: {", "order: { replicas: 1,"),
    )
    .unwrap();
    shop.succeed(&["render", "--out-dir", "out"]);
    assert!(!out.join("order-1/order.toml").exists());
    assert_eq!(
        std::fs::read_to_string(out.join("order-1/notes.txt")).unwrap(),
        "mine"
    );
    // A folder that `render` did not write is left alone.
    std::fs::create_dir(shop.project().join("other")).unwrap();
    std::fs::write(shop.project().join("other/file"), "mine").unwrap();
    shop.run(&["render", "--out-dir", "other"])
        .refused(2, &["`render` did not write", "--out-dir"]);
}

#[test]
fn a_shop_that_was_never_brought_up_is_neither_stopped_nor_tested() {
    let shop = TestShop::new();
    for arguments in [&["down"][..], &["down", "--purge", "--yes"]] {
        let run = shop.succeed(arguments);
        assert!(run.stderr.contains("Nothing to do"), "{}", run.stderr);
    }
    let status = shop.succeed(&["status"]);
    assert!(status.stderr.contains("is not up"), "{}", status.stderr);
    shop.run(&["smoke"])
        .refused(1, &["it was never brought up", "`shopctl up`"]);
    assert!(!shop.state().exists());
}
