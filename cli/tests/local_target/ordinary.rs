//! An ordinary user's shop: where it keeps its state, that every login finds it, and that nobody else gets between.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;
use rustix::fs::FlockOperation;

use super::life::eventually;
use super::shop::{Run, free_ports, small_environment};
use super::skipped::say_skipped;

/// A user of this test's own, whom no machine has.
const STRANGER: u32 = 64_123;

/// A home with copies of the programs, and a shop of one process in it.
struct Home {
    folder: tempfile::TempDir,
    uid: u32,
    /// What tells the shops apart that may be up by now.
    shops: RefCell<Vec<Vec<String>>>,
}

impl Home {
    fn new() -> Self {
        let own = Uid::effective();
        let uid = if own.is_root() {
            STRANGER
        } else {
            own.as_raw()
        };
        let folder = tempfile::tempdir().unwrap();
        let home = Self {
            folder,
            uid,
            shops: RefCell::default(),
        };
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        home.give(home.path());
        let built = Path::new(env!("CARGO_BIN_EXE_shopctl"));
        for program in ["shopctl", "shopd"] {
            // Root's programs may be where nobody else gets to.
            fs::copy(built.with_file_name(program), home.path().join(program)).unwrap();
        }
        home
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn give(&self, path: &Path) {
        chown(path, Some(self.uid), Some(self.uid)).unwrap();
    }

    /// Writes an environment of the one service that needs no other.
    fn environment(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = small_environment(free_ports());
        fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, variables: &[(&str, &Path)], arguments: &[&str]) -> Run {
        let output = self.command(variables, arguments).output().unwrap();
        Run::of(&output)
    }

    fn command(&self, variables: &[(&str, &Path)], arguments: &[&str]) -> Command {
        if arguments[0] == "up" {
            let shop = arguments[1..]
                .iter()
                .filter(|option| **option != "--no-smoke");
            let shop = shop.map(|option| (*option).to_owned()).collect();
            self.shops.borrow_mut().push(shop);
        }
        let mut command = Command::new(self.path().join("shopctl"));
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path())
            .envs(variables.iter().copied())
            .args(arguments);
        if Uid::effective().is_root() {
            command.uid(self.uid).gid(self.uid);
        }
        command
    }

    fn succeed(&self, variables: &[(&str, &Path)], arguments: &[&str]) -> Run {
        let run = self.run(variables, arguments);
        assert_eq!(run.code, Some(0), "shopctl {arguments:?}:\n{}", run.stderr);
        run
    }
}

impl Drop for Home {
    /// Stops what a test that failed left running.
    fn drop(&mut self) {
        for shop in self.shops.take() {
            let mut arguments = vec!["down", "--purge", "--yes", "--quiet"];
            arguments.extend(shop.iter().map(String::as_str));
            let _ = self.command(&[], &arguments).output();
        }
    }
}

#[test]
fn a_shop_is_found_from_another_login_and_told_apart_from_one_of_a_file_of_the_same_name() {
    let home = Home::new();
    let mine = home.environment("mine/shop.yaml");
    let mine = mine.to_str().unwrap();
    let other = home.environment("other/shop.yaml");
    let other = other.to_str().unwrap();
    let session = home.path().join("session");
    fs::create_dir(&session).unwrap();
    home.give(&session);
    home.succeed(
        &[("XDG_RUNTIME_DIR", &session)],
        &["up", "--no-smoke", "-e", mine],
    );
    // The last session of a user takes its folder along.
    fs::remove_dir_all(&session).unwrap();
    let status = home.succeed(&[], &["status", "-o", "json", "-e", mine]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert!(status["supervisor"].is_i64(), "{status}");
    assert_eq!(status["instances"][0]["state"], "running", "{status}");
    let again = home.succeed(&[], &["up", "--no-smoke", "-e", mine]);
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);

    for arguments in [&["up"][..], &["down", "--purge", "--yes"]] {
        let arguments = [arguments, &["-e", other]].concat();
        home.run(&[], &arguments)
            .refused(2, &["it holds the shop of", mine, "`name:`", "--state-dir"]);
    }
    // Of a file that was moved there is only one.
    fs::remove_file(mine).unwrap();
    home.succeed(&[], &["down", "--purge", "--yes", "-e", other]);
    assert!(!home.path().join(".local/state/shopctl/shop").exists());
}

#[test]
fn of_two_first_ups_of_one_name_the_second_to_get_the_lock_is_refused() {
    let home = Home::new();
    let mine = home.environment("mine/shop.yaml");
    let other = home.environment("other/shop.yaml");
    let state = home.path().join(".local/state/shopctl/shop");
    let mut made = state.as_path();
    fs::create_dir_all(made).unwrap();
    while made != home.path() {
        home.give(made);
        made = made.parent().unwrap();
    }
    let path = state.join("lock");
    fs::write(&path, "").unwrap();
    home.give(&path);
    let lock = fs::File::open(&path).unwrap();
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    let arguments = ["up", "--no-smoke", "-e", mine.to_str().unwrap()];
    let waiting = home
        .command(&[], &arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It looked at the folder before it opened the lock.
    let descriptors = PathBuf::from(format!("/proc/{}/fd", waiting.id()));
    eventually("the first waits for the lock", || {
        fs::read_dir(&descriptors).unwrap().any(|descriptor| {
            fs::read_link(descriptor.unwrap().path()).is_ok_and(|target| target == path)
        })
    });
    let marker = format!(
        r#"{{"environment":"shop","runDir":"run","file":"{}"}}"#,
        other.display()
    );
    fs::write(state.join("environment.json"), marker).unwrap();
    drop(lock);
    let output = waiting.wait_with_output().unwrap();
    Run::of(&output).refused(2, &["it holds the shop of", other.to_str().unwrap()]);
    fs::remove_dir_all(&state).unwrap();
}

#[test]
fn a_folder_of_sockets_that_somebody_else_made_first_is_refused() {
    if !Uid::effective().is_root() {
        say_skipped("only root can be two users");
        return;
    }
    let home = Home::new();
    let environment = home.environment("shop.yaml");
    let deep = home.path().join("d".repeat(80));
    let arguments = [
        "up",
        "--no-smoke",
        "-e",
        environment.to_str().unwrap(),
        "--state-dir",
        deep.to_str().unwrap(),
    ];
    let base = PathBuf::from(format!("/tmp/shopctl-{STRANGER}"));
    let _ = fs::remove_dir_all(&base);
    fs::DirBuilder::new().mode(0o777).create(&base).unwrap();
    let run = home.run(&[], &arguments);
    fs::remove_dir(&base).unwrap();
    run.refused(2, &["the folder of sockets", base.to_str().unwrap()]);
    assert!(!deep.exists());
    // Nobody in the way: it is made for this user alone, and goes with the shop.
    home.succeed(&[], &arguments);
    let mode = fs::metadata(&base).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    let down = [&["down", "--purge", "--yes"], &arguments[2..]].concat();
    home.succeed(&[], &down);
    assert_eq!(fs::read_dir(&base).unwrap().count(), 0);
    fs::remove_dir(&base).unwrap();
}
