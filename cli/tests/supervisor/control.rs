//! The control socket, and who may be on either end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use shopctl::supervisor::{Client, StateFolder};

use crate::laboratory::{FOREVER, Laboratory, lives};

#[tokio::test]
async fn a_second_supervisor_refuses_and_names_the_first() {
    let laboratory = Laboratory::new().await;
    let output = laboratory.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let first = format!(
        "pid {} already serves this state folder",
        laboratory.supervisor_pid()
    );
    assert!(said.contains(&first), "{said}");
    laboratory.client().await.status().await.unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_or_talks_nonsense_harms_nobody() {
    let laboratory = Laboratory::new().await;
    let socket = laboratory.folder.socket().unwrap();
    let mut hanging = UnixStream::connect(&socket).unwrap();
    hanging.write_all(b"{\"request\":\"sta").unwrap();
    let mut leaving = UnixStream::connect(&socket).unwrap();
    leaving.write_all(b"{\"request\":\"status\"}\n").unwrap();
    drop(leaving);
    for nonsense in [
        "hello\n",
        "{}\n",
        "[1,2]\n",
        "{\"request\":\"dance\"}\n",
        "\n",
    ] {
        let mut talking = UnixStream::connect(&socket).unwrap();
        talking
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        talking.write_all(nonsense.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(talking).read_line(&mut answer).unwrap();
        assert!(
            answer.contains("failed to understand the request"),
            "{nonsense}: {answer}"
        );
    }
    laboratory.client().await.status().await.unwrap();
    hanging.write_all(b"tus\"}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(hanging).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("{\"answer\":\"status\""), "{answer}");
}

#[tokio::test]
async fn only_its_user_may_open_the_socket() {
    let laboratory = Laboratory::new().await;
    let mode = std::fs::metadata(laboratory.folder.socket().unwrap())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_socket_that_was_left_behind_does_not_stop_the_next_supervisor() {
    let mut laboratory = Laboratory::new().await;
    laboratory.kill_supervisor();
    let socket = laboratory.folder.socket().unwrap();
    assert!(socket.exists());
    let error = Client::connect(laboratory.folder.run_dir())
        .await
        .unwrap_err();
    assert!(error.is_unreachable());
    assert!(error.hint().unwrap().contains("shopctl up"));
    laboratory.start_supervisor().await;
}

#[tokio::test]
async fn a_terminated_supervisor_leaves_its_instances_alone() {
    let laboratory = Laboratory::new().await;
    let mut client = laboratory.client().await;
    client
        .apply(&[laboratory.spec("a-0", FOREVER)], true)
        .await
        .unwrap();
    let pid = laboratory.ready("a-0").await.pid.unwrap();
    crate::laboratory::signal(
        laboratory.supervisor_pid(),
        nix::sys::signal::Signal::SIGTERM,
    );
    shop_testkit::wait_until(
        "the supervisor to be gone",
        crate::laboratory::LIMIT,
        || {
            if lives(laboratory.supervisor_pid()) {
                Err("it lives".to_owned())
            } else {
                Ok(())
            }
        },
    );
    assert!(lives(pid));
    assert!(!laboratory.folder.socket().unwrap().exists());
}

#[test]
fn a_socket_path_that_is_too_long_is_told_before_anything_is_made() {
    let folder = StateFolder::new("/tmp/s", format!("/tmp/{}", "r".repeat(120)));
    let error = folder.socket().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("141 bytes and the system allows 107"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--state-dir"));
}
