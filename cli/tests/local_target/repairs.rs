//! What is damaged, and that the way out that shopctl names is one.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::unistd::Uid;

use super::life::{eventually, kill, supervisor};
use super::shop::TestShop;
use super::skipped::say_skipped;

/// A shop of one process, and its pid.
fn small_shop() -> (TestShop, i64) {
    let shop = TestShop::new();
    shop.write_small_environment();
    shop.succeed(&["up", "--no-smoke"]);
    let pid = only_pid(&shop);
    (shop, pid)
}

fn only_pid(shop: &TestShop) -> i64 {
    let pids = shop.pids(None);
    assert_eq!(pids.len(), 1, "{pids:?}");
    pids[0]
}

fn kill_supervisor(shop: &TestShop) {
    kill(supervisor(shop).unwrap());
    eventually("the supervisor is gone", || supervisor(shop).is_none());
}

fn is_alive(pid: i64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

#[test]
fn living_processes_that_only_their_records_name_are_shown_taken_over_and_stopped() {
    let (shop, pid) = small_shop();
    let desired = shop.state().join("desired.json");
    kill_supervisor(&shop);
    fs::write(&desired, "{").unwrap();
    shop.run(&["up", "--no-smoke"]).refused(
        1,
        &[
            "failed to understand",
            "desired.json",
            "away and run `shopctl up`",
        ],
    );
    fs::rename(&desired, desired.with_extension("json.damaged")).unwrap();
    assert_eq!(only_pid(&shop), pid);
    shop.succeed(&["up", "--no-smoke"]);
    let pid = only_pid(&shop);

    kill_supervisor(&shop);
    fs::remove_file(&desired).unwrap();
    let down = shop.succeed(&["down"]);
    assert!(down.stderr.contains("The shop is down"), "{}", down.stderr);
    assert!(!is_alive(pid));

    shop.succeed(&["up", "--no-smoke"]);
    let pid = only_pid(&shop);
    kill_supervisor(&shop);
    fs::remove_file(&desired).unwrap();
    shop.succeed(&["down", "--purge", "--yes"]);
    assert!(!is_alive(pid));
    assert!(!shop.state().exists());
}

#[test]
fn a_damaged_marker_that_is_moved_away_is_made_again_and_hinders_no_purge() {
    let (shop, pid) = small_shop();
    let marker = shop.state().join("environment.json");
    let aside = shop.state().join("environment.json.damaged");
    let damage = || {
        fs::write(&marker, "{\"envir").unwrap();
        shop.run(&["up"])
            .refused(1, &["environment.json", "away and run `shopctl up`"]);
        fs::rename(&marker, &aside).unwrap();
    };
    damage();
    shop.succeed(&["up", "--no-smoke"]);
    assert_eq!(only_pid(&shop), pid, "nothing was wrong with it");
    let text = fs::read_to_string(&marker).unwrap();
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(said["environment"], "test", "{text}");
    let file = fs::canonicalize(shop.environment()).unwrap();
    assert_eq!(said["file"], file.to_str().unwrap(), "{text}");
    damage();
    shop.succeed(&["down", "--purge", "--yes"]);
    assert!(!shop.state().exists() && !is_alive(pid));
}

#[test]
fn who_holds_ports_is_named_with_a_command_that_stops_it() {
    let (shop, _) = small_shop();
    let second = TestShop::new();
    fs::copy(shop.environment(), second.environment()).unwrap();
    let command = format!(
        "`shopctl down -e {} --state-dir {}`",
        fs::canonicalize(shop.environment()).unwrap().display(),
        shop.state().display()
    );
    second.run(&["up"]).refused(3, &[&command]);
}

#[test]
fn a_copy_of_the_program_that_was_cut_short_is_placed_again() {
    let (shop, _) = small_shop();
    shop.succeed(&["down"]);
    let copies = fs::read_dir(shop.state().join("bin")).unwrap();
    let copies: Vec<_> = copies.map(|copy| copy.unwrap().path()).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    let whole = fs::metadata(&copies[0]).unwrap().len();
    let file = fs::File::options().write(true).open(&copies[0]).unwrap();
    file.set_len(whole / 2).unwrap();
    drop(file);
    shop.succeed(&["up", "--no-smoke"]);
    assert_eq!(fs::metadata(&copies[0]).unwrap().len(), whole);
}

/// A supervisor that says once what nobody understands, and then is gone.
fn answer_nonsense_once(socket: &Path) -> std::thread::JoinHandle<()> {
    fs::remove_file(socket).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(b"{\"tomorrow\":1}\n").unwrap();
    })
}

#[test]
fn a_supervisor_that_nobody_understands_keeps_no_command_from_its_work() {
    let (shop, pid) = small_shop();
    let sockets = fs::read_dir(shop.state().join("run")).unwrap();
    let socket = sockets
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sock")
        })
        .unwrap();
    kill_supervisor(&shop);
    let answered = answer_nonsense_once(&socket);
    shop.succeed(&["up", "--no-smoke"]);
    answered.join().unwrap();
    assert_eq!(only_pid(&shop), pid);

    kill_supervisor(&shop);
    let answered = answer_nonsense_once(&socket);
    shop.succeed(&["down"]);
    answered.join().unwrap();
    assert!(!is_alive(pid));
}

#[test]
fn a_folder_that_belongs_to_somebody_else_is_taken_back_once() {
    if !Uid::effective().is_root() {
        say_skipped("only root can give folders away");
        return;
    }
    let (shop, _) = small_shop();
    let binaries = shop.state().join("bin");
    chown(&binaries, Some(64_124), None).unwrap();
    shop.succeed(&["up", "--no-smoke"]);
    assert_eq!(fs::metadata(&binaries).unwrap().uid(), 0);
    let again = shop.succeed(&["up", "--no-smoke"]);
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
}

#[test]
fn purge_leaves_the_file_systems_own_folder() {
    let shop = TestShop::new();
    shop.write_small_environment();
    let kept = shop.state().join("lost+found/file");
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    fs::write(&kept, "").unwrap();
    shop.succeed(&["up", "--no-smoke"]);
    shop.succeed(&["down", "--purge", "--yes"]);
    assert!(kept.exists());
    assert_eq!(fs::read_dir(shop.state()).unwrap().count(), 1);
}
