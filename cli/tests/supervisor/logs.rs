//! `shopctl logs`, as a user types it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};

use shop_testkit::wait_until;

use crate::laboratory::{LIMIT, Laboratory, shopctl};

fn logs(laboratory: &Laboratory, arguments: &[&str]) -> Command {
    let mut command = Command::new(shopctl());
    command
        .arg("logs")
        .arg("--state-dir")
        .arg(laboratory.folder.state_dir())
        .args(arguments)
        // The shipped environment, whatever lies where the tests run.
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Two components whose three processes have said what they say.
async fn talking() -> Laboratory {
    let laboratory = Laboratory::new().await;
    let script = "for line in 1 2 3; do echo line $line; done; while :; do sleep 1000; done";
    let specs = ["redis-0", "redis-1", "gateway-0"].map(|name| laboratory.spec(name, script));
    laboratory.client().await.apply(&specs, true).await.unwrap();
    for name in ["redis-0", "redis-1", "gateway-0"] {
        wait_until("three lines", LIMIT, || match laboratory.log(name).len() {
            3 => Ok(()),
            other => Err(format!("{name} has {other}")),
        });
    }
    laboratory
}

#[tokio::test]
async fn the_last_lines_of_all_come_with_the_names_of_those_who_wrote_them() {
    let laboratory = talking().await;
    let output = logs(&laboratory, &["-n", "2"]).output().unwrap();
    let expected = "redis-0   | line 2\nredis-0   | line 3\nredis-1   | line 2\nredis-1   | line 3\n\
                    gateway-0 | line 2\ngateway-0 | line 3\n";
    assert_eq!(text(&output), (Some(0), expected.to_owned(), String::new()));
    let output = logs(&laboratory, &["redis-1"]).output().unwrap();
    assert_eq!(text(&output).1, "line 1\nline 2\nline 3\n");
    let output = logs(&laboratory, &["redis", "-n1", "-o", "json"])
        .output()
        .unwrap();
    let expected = "{\"component\":\"redis\",\"instance\":\"redis-0\",\"line\":\"line 3\"}\n\
                    {\"component\":\"redis\",\"instance\":\"redis-1\",\"line\":\"line 3\"}\n";
    assert_eq!(text(&output).1, expected);
    let output = logs(&laboratory, &["supervisor"]).output().unwrap();
    assert!(text(&output).1.contains("redis-0: started pid"));
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_one_that_was_meant() {
    let laboratory = talking().await;
    let (code, answer, said) = text(&logs(&laboratory, &["redsi"]).output().unwrap());
    assert_eq!((code, answer.as_str()), (Some(2), ""));
    assert!(
        said.contains("no such component or instance") && said.contains("did you mean `redis`?"),
        "{said}"
    );
    let (code, _, said) = text(&logs(&laboratory, &["kafka"]).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(
        said.contains("there are: redis, gateway, supervisor"),
        "{said}"
    );
}

#[test]
fn a_shop_that_was_never_up_has_no_logs() {
    let laboratory = Laboratory::empty();
    let (code, answer, said) = text(&logs(&laboratory, &[]).output().unwrap());
    assert_eq!((code, answer.as_str()), (Some(1), ""));
    assert!(
        said.contains("nothing has been started in") && said.contains("shopctl up"),
        "{said}"
    );
}

#[tokio::test]
async fn following_shows_what_comes_from_old_and_new_instances_and_through_a_rotation() {
    let laboratory = talking().await;
    let mut following = logs(&laboratory, &["redis", "-n0", "-f"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (say, said) = std::sync::mpsc::channel();
    let output = BufReader::new(following.stdout.take().unwrap());
    let reading = std::thread::spawn(move || {
        for line in output.lines() {
            say.send(line.unwrap()).unwrap();
        }
    });
    let append = |name: &str, line: &str| {
        let path = laboratory.folder.instance(name).join("log");
        let mut log = fs::OpenOptions::new().append(true).open(path).unwrap();
        writeln!(log, "{line}").unwrap();
    };
    let next = || said.recv_timeout(LIMIT).unwrap();
    // When it begins to follow cannot be seen from outside: the first line is repeated until it shows.
    wait_until("the first line", LIMIT, || {
        append("redis-1", "hello");
        said.recv_timeout(std::time::Duration::from_millis(300))
            .map(drop)
            .map_err(|error| error.to_string())
    });
    append("gateway-0", "not asked for");
    append("redis-0", "before");
    // A rotation, step by step as the supervisor does it.
    let log = laboratory.folder.instance("redis-0").join("log");
    fs::copy(&log, laboratory.folder.instance("redis-0").join("log.1")).unwrap();
    fs::write(&log, "").unwrap();
    append("redis-0", "after");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "redis-0 | after") {
        lines.push(next());
    }
    lines.retain(|line| line != "redis-1 | hello");
    assert_eq!(lines, ["redis-0 | before", "redis-0 | after"]);

    let late = laboratory.spec("redis-2", "echo I am new; while :; do sleep 1000; done");
    laboratory
        .client()
        .await
        .apply(&[late], false)
        .await
        .unwrap();
    assert_eq!(next(), "redis-2 | I am new");
    following.kill().unwrap();
    following.wait().unwrap();
    reading.join().unwrap();
}
