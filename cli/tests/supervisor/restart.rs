//! What dies, hangs or will not end.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use shop_testkit::wait_until;
use shopctl::supervisor::{InstanceState, ProbeOutcome, RestartSpec};

use crate::laboratory::{
    FOREVER, LIMIT, Laboratory, is_up, lives, probe_by, processes_with, signal,
};

#[tokio::test]
async fn a_process_that_is_killed_is_started_again_and_counted() {
    let laboratory = Laboratory::new().await;
    let spec = laboratory.spec("a-0", FOREVER);
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let before = laboratory.ready("a-0").await;
    assert_eq!(before.restarts, 0);
    signal(before.pid.unwrap(), Signal::SIGKILL);
    let after = laboratory
        .until("a-0", "to be started again", |status| {
            status.restarts == 1 && status.ready
        })
        .await;
    assert_ne!(after.pid, before.pid);
    let exit = after.last_exit.unwrap();
    assert_eq!(
        (exit.pid, exit.code, exit.signal),
        (before.pid, None, Some(9))
    );
    assert_eq!(laboratory.marked("a-0").len(), 1);
}

#[tokio::test]
async fn an_exit_code_is_shown_and_the_pauses_between_starts_double() {
    let laboratory = Laboratory::new().await;
    let mut spec = laboratory.spec("a-0", "date +%s%N; exit 7");
    spec.restart = RestartSpec {
        initial_milliseconds: 100,
        maximum_milliseconds: 400,
    };
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let status = laboratory
        .until("a-0", "to have been started again six times", |status| {
            status.restarts >= 6
        })
        .await;
    assert_eq!(status.last_exit.unwrap().code, Some(7));
    let starts: Vec<u64> = laboratory
        .log("a-0")
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    let pauses: Vec<u64> = starts
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / 1_000_000)
        .collect();
    for (pause, least) in pauses.iter().zip([100, 200, 400, 400, 400]) {
        assert!(*pause >= least, "{pauses:?} fall short of their pauses");
    }
    // A busy machine makes pauses longer; only the cap tells that they do not double for ever.
    assert!(pauses[4] < 100 + 400 * 4, "{pauses:?} are not capped");
}

#[tokio::test]
async fn what_a_dead_process_left_in_its_group_does_not_meet_the_next_one() {
    let laboratory = Laboratory::new().await;
    let child = laboratory.mark("child");
    let script = format!("sh -c 'sleep 1000; :' {child} & echo $!; wait");
    let spec = laboratory.spec("a-0", &script);
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let before = laboratory.ready("a-0").await;
    let orphan = wait_until("the child to be there", LIMIT, || {
        match processes_with(&child)[..] {
            [pid] => Ok(pid),
            ref other => Err(format!("{other:?}")),
        }
    });
    signal(before.pid.unwrap(), Signal::SIGKILL);
    laboratory
        .until("a-0", "to be started again", |status| {
            status.restarts == 1 && status.ready
        })
        .await;
    assert!(!lives(orphan), "the child of the dead process still lives");
}

#[tokio::test]
async fn a_process_that_ignores_the_signal_is_killed_when_its_time_is_over() {
    let laboratory = Laboratory::new().await;
    let mut spec = laboratory.spec(
        "a-0",
        "trap '' TERM; echo ready; while :; do sleep 0.1; done",
    );
    spec.stop.timeout_seconds = 1;
    let mut client = laboratory.client().await;
    client.apply(&[spec], true).await.unwrap();
    let pid = laboratory.ready("a-0").await.pid.unwrap();
    wait_until("the trap to be set", LIMIT, || {
        match laboratory.log("a-0").len() {
            0 => Err("no line".to_owned()),
            _ => Ok(()),
        }
    });
    let begun = std::time::Instant::now();
    client.stop(&["a-0".to_owned()]).await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "it was not given its time"
    );
    assert!(!lives(pid));
    let status = laboratory
        .until("a-0", "to be stopped", |status| {
            status.state == InstanceState::Stopped
        })
        .await;
    assert_eq!(status.last_exit.unwrap().signal, Some(9));
    assert_eq!(status.restarts, 0, "a stop is no restart");
}

#[tokio::test]
async fn a_process_that_is_stopped_by_a_signal_can_still_be_asked_to_end() {
    let laboratory = Laboratory::new().await;
    let spec = laboratory.spec(
        "a-0",
        "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
    );
    let mut client = laboratory.client().await;
    client.apply(&[spec], true).await.unwrap();
    let pid = laboratory.ready("a-0").await.pid.unwrap();
    wait_until("the trap to be set", LIMIT, || {
        match laboratory.log("a-0").len() {
            0 => Err("no line".to_owned()),
            _ => Ok(()),
        }
    });
    signal(pid, Signal::SIGSTOP);
    client.stop(&["a-0".to_owned()]).await.unwrap();
    assert_eq!(laboratory.log("a-0"), ["ready", "bye"]);
}

#[tokio::test]
async fn one_that_fails_its_probe_is_replaced_only_after_failures_in_a_row() {
    let laboratory = Laboratory::new().await;
    let sick = laboratory.path("sick");
    let mut spec = laboratory.spec("a-0", FOREVER);
    spec.probe = Some(probe_by(&format!("test ! -e {}", sick.display())));
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let before = laboratory.ready("a-0").await;
    fs::write(&sick, "").unwrap();
    let seen = laboratory
        .until("a-0", "to fail a probe or to be replaced", |status| {
            status.restarts > 0
                || status
                    .last_probe
                    .as_ref()
                    .is_some_and(|probe| probe.outcome == ProbeOutcome::Silent)
        })
        .await;
    if seen.restarts == 0 {
        assert_eq!(seen.state, InstanceState::Running, "one failure is no hang");
        assert!(!seen.ready);
    }
    let after = laboratory
        .until("a-0", "to be replaced", |status| {
            status.restarts == 1 && is_up(status)
        })
        .await;
    assert_ne!(after.pid, before.pid);
    let exit = after.last_exit.unwrap();
    assert_eq!(exit.signal, Some(9));
    assert!(exit.reason.unwrap().contains("3 probes in a row failed"));
    fs::remove_file(&sick).unwrap();
    laboratory.ready("a-0").await;
}

#[tokio::test]
async fn one_that_never_answers_is_started_again_at_its_deadline() {
    let laboratory = Laboratory::new().await;
    let mut spec = laboratory.spec("a-0", FOREVER);
    let mut probe = probe_by("exit 1");
    probe.start_seconds = 1;
    spec.probe = Some(probe);
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let status = laboratory
        .until("a-0", "to be given up", |status| status.restarts >= 1)
        .await;
    let reason = status.last_exit.unwrap().reason.unwrap();
    assert!(reason.starts_with("did not answer within 1 s"), "{reason}");
}

#[tokio::test]
async fn a_program_that_is_missing_is_named_and_tried_again() {
    let laboratory = Laboratory::new().await;
    let program = laboratory.path("program");
    let mut spec = laboratory.spec("a-0", "");
    spec.argv = vec![program.display().to_string()];
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let failed = laboratory
        .until("a-0", "to fail", |status| {
            status.state == InstanceState::Failed
        })
        .await;
    let reason = failed.last_exit.unwrap().reason.unwrap();
    assert!(reason.contains("program does not exist"), "{reason}");
    std::os::unix::fs::symlink("/bin/cat", &program).unwrap();
    // `cat` reads nothing and ends well, which still is no reason to be content.
    laboratory
        .until("a-0", "to be started", |status| {
            status
                .last_exit
                .as_ref()
                .is_some_and(|exit| exit.code == Some(0))
        })
        .await;
}

#[tokio::test]
async fn a_process_gets_what_it_is_given_and_nothing_else() {
    let mut laboratory = Laboratory::empty();
    let leak = fs::File::open("/dev/null").unwrap();
    // The caller of shopctl leaves a file open and a variable set.
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    laboratory.start_supervisor().await;
    let script = "umask; env | sort; ls /proc/self/fd | wc -l; ps -o sid=,pgid= -p $$ | tr -d ' ' ; ulimit -n; exec sleep 1000";
    let mut spec = laboratory.spec("a-0", script);
    spec.environment
        .insert("GREETING".to_owned(), "hello".to_owned());
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let pid = laboratory.ready("a-0").await.pid.unwrap();
    let lines = wait_until("the script to be done", LIMIT, || {
        let lines = laboratory.log("a-0");
        let done = fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.trim() == "sleep");
        if done {
            Ok(lines)
        } else {
            Err(format!("{lines:?}"))
        }
    });
    assert_eq!(lines[0], "0077");
    let environment: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.contains('='))
        .collect();
    let own = ["_=", "PWD=", "SHLVL=", "OLDPWD="];
    let given: Vec<&str> = environment
        .into_iter()
        .filter(|line| !own.iter().any(|name| line.starts_with(name)))
        .collect();
    assert_eq!(given, ["GREETING=hello", "PATH=/usr/bin:/bin"]);
    // stdin, stdout, stderr, and the folder that `ls` itself reads.
    assert!(
        lines.contains(&"4".to_owned()),
        "more files are open: {lines:?}"
    );
    assert!(
        lines.contains(&format!("{pid}{pid}")),
        "no session of its own: {lines:?}"
    );
    assert_ne!(
        nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))),
        nix::unistd::getsid(None)
    );
}

#[tokio::test]
async fn root_starts_a_process_as_another_user_without_its_own_groups() {
    if !nix::unistd::geteuid().is_root() {
        super::skipped::say_skipped("only root can give a process another user");
        return;
    }
    let laboratory = Laboratory::new().await;
    let mut spec = laboratory.spec("a-0", "id -u; id -G; exec sleep 1000");
    spec.user = Some(shopctl::supervisor::RunAs {
        uid: 65_534,
        gid: 65_534,
    });
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    laboratory.ready("a-0").await;
    let lines = wait_until("both lines", LIMIT, || match laboratory.log("a-0") {
        lines if lines.len() == 2 => Ok(lines),
        lines => Err(format!("{lines:?}")),
    });
    assert_eq!(lines, ["65534", "65534"]);
}
