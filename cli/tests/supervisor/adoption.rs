//! A supervisor that is killed, and the one after it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shop_testkit::wait_until;
use shopctl::supervisor::{
    Client, InstanceState, Launched, ProcessRecord, StateFolder, ensure_running, observe,
};

use crate::laboratory::{
    FOREVER, LIMIT, Laboratory, is_up, lives, processes_with, shopctl, signal,
};

#[tokio::test]
async fn the_next_supervisor_adopts_the_same_processes() {
    let mut laboratory = Laboratory::new().await;
    let specs = ["a-0", "a-1"].map(|name| laboratory.spec(name, FOREVER));
    laboratory.client().await.apply(&specs, true).await.unwrap();
    let before = [laboratory.ready("a-0").await, laboratory.ready("a-1").await];
    laboratory.kill_supervisor();
    assert!(
        before.iter().all(|status| lives(status.pid.unwrap())),
        "instances outlive their supervisor"
    );

    laboratory.start_supervisor().await;
    for old in &before {
        let new = laboratory.ready(&old.instance).await;
        assert_eq!((new.pid, new.restarts, new.since), (old.pid, 0, old.since));
    }
    let applied = laboratory.client().await.apply(&specs, true).await.unwrap();
    assert!(applied.is_empty(), "nothing changed, and still {applied:?}");
    // The news of an adopted process's end comes as surely as that of a child's.
    signal(before[0].pid.unwrap(), Signal::SIGKILL);
    let after = laboratory
        .until("a-0", "to be started again", |status| {
            status.restarts == 1 && status.ready
        })
        .await;
    assert_ne!(after.pid, before[0].pid);
}

#[tokio::test]
async fn what_died_while_nobody_watched_is_started_again_and_counted() {
    let mut laboratory = Laboratory::new().await;
    let child = laboratory.mark("child");
    let script = format!("sh -c 'sleep 1000; :' {child} & wait");
    let spec = laboratory.spec("a-0", &script);
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let before = laboratory.ready("a-0").await;
    let orphan = wait_until("the child to be there", LIMIT, || {
        processes_with(&child)
            .first()
            .copied()
            .ok_or_else(|| "it is not".to_owned())
    });
    laboratory.kill_supervisor();
    signal(before.pid.unwrap(), Signal::SIGKILL);
    wait_until("the process to be gone", LIMIT, || {
        if lives(before.pid.unwrap()) {
            Err("it lives".to_owned())
        } else {
            Ok(())
        }
    });
    let seen = observe(&laboratory.folder).unwrap();
    assert_eq!((seen[0].state, seen[0].pid), (InstanceState::Failed, None));
    laboratory.start_supervisor().await;
    let after = laboratory.ready("a-0").await;
    assert_eq!(after.restarts, 1);
    assert!(
        !lives(orphan),
        "what the dead process left in its group still lives"
    );
}

#[tokio::test]
async fn a_namesake_of_a_dead_process_is_neither_adopted_nor_harmed() {
    let mut laboratory = Laboratory::new().await;
    let spec = laboratory.spec("a-0", FOREVER);
    laboratory
        .client()
        .await
        .apply(std::slice::from_ref(&spec), true)
        .await
        .unwrap();
    let real = laboratory.ready("a-0").await.pid.unwrap();
    laboratory.kill_supervisor();
    // Another process has taken over the pid of the record: what is written is somebody who started before it.
    let mut stranger = Stranger::start();
    let path = laboratory.folder.record("a-0");
    let record = ProcessRecord::load(&laboratory.folder, "a-0")
        .unwrap()
        .unwrap();
    let forged = ProcessRecord {
        pid: i32::try_from(stranger.0.id()).unwrap(),
        start_ticks: record.start_ticks - 1,
        ..record
    };
    fs::write(&path, serde_json::to_vec(&forged).unwrap()).unwrap();
    signal(real, Signal::SIGKILL);

    laboratory.start_supervisor().await;
    let after = laboratory.ready("a-0").await;
    assert_ne!(after.pid, Some(forged.pid));
    laboratory.client().await.apply(&[], true).await.unwrap();
    wait_until("the instance to be stopped", LIMIT, || {
        match laboratory.marked("a-0")[..] {
            [] => Ok(()),
            ref other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(
        stranger.0.try_wait().unwrap(),
        None,
        "the stranger was harmed"
    );
}

/// A process that no supervisor knows.
struct Stranger(std::process::Child);

impl Stranger {
    fn start() -> Self {
        let mut command = std::process::Command::new("/bin/sleep");
        command.arg("1000").stdout(std::process::Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_recorded_process_that_nobody_wants_is_stopped() {
    let mut laboratory = Laboratory::new().await;
    let spec = laboratory.spec("a-0", FOREVER);
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let pid = laboratory.ready("a-0").await.pid.unwrap();
    laboratory.kill_supervisor();
    // As if a supervisor had been killed between forgetting and stopping.
    fs::remove_file(laboratory.folder.desired()).unwrap();
    laboratory.start_supervisor().await;
    wait_until("the stray to be gone", LIMIT, || {
        if lives(pid) { Err("it lives") } else { Ok(()) }.map_err(str::to_owned)
    });
    let status = laboratory.client().await.status().await.unwrap();
    assert!(
        status
            .instances
            .iter()
            .all(|instance| instance.pid.is_none()),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_its_instance_down_and_says_so() {
    let mut laboratory = Laboratory::new().await;
    let specs = ["a-0", "b-0"].map(|name| laboratory.spec(name, FOREVER));
    laboratory.client().await.apply(&specs, true).await.unwrap();
    let pid = laboratory.ready("a-0").await.pid.unwrap();
    laboratory.ready("b-0").await;
    laboratory.kill_supervisor();
    let path = laboratory.folder.record("a-0");
    let good = fs::read(&path).unwrap();
    fs::write(&path, "{").unwrap();
    laboratory.start_supervisor().await;
    let failed = laboratory
        .until("a-0", "to fail", |status| {
            status.state == InstanceState::Failed
        })
        .await;
    assert!(
        failed
            .last_exit
            .unwrap()
            .reason
            .unwrap()
            .contains("pid.json")
    );
    assert_eq!(
        laboratory.marked("a-0"),
        [pid],
        "a second process was started beside the one that lives"
    );
    laboratory.ready("b-0").await;
    // Once the record can be read the process is adopted.
    fs::write(&path, good).unwrap();
    assert_eq!(laboratory.ready("a-0").await.pid, Some(pid));
}

#[tokio::test]
async fn a_supervisor_of_another_commit_is_replaced_without_touching_instances() {
    let laboratory = Laboratory::empty();
    let (mut client, launched) = ensure_running(&laboratory.folder, shopctl(), shopctl::COMMIT)
        .await
        .unwrap();
    assert_eq!(launched, Launched::Started);
    let first = client.status().await.unwrap();
    let spec = laboratory.spec("a-0", FOREVER);
    client.apply(&[spec], true).await.unwrap();
    let before = laboratory.ready("a-0").await;

    let (_, launched) = ensure_running(&laboratory.folder, shopctl(), shopctl::COMMIT)
        .await
        .unwrap();
    assert_eq!(launched, Launched::AlreadyRunning);
    let (mut client, launched) = ensure_running(&laboratory.folder, shopctl(), "another")
        .await
        .unwrap();
    assert_eq!(launched, Launched::Replaced);
    let second = client.status().await.unwrap();
    assert_ne!(first.pid, second.pid);
    let after = laboratory.ready("a-0").await;
    assert_eq!((after.pid, after.restarts), (before.pid, 0));
    client.shutdown(true).await.unwrap();
    assert!(!lives(after.pid.unwrap()) && !lives(second.pid));
}

#[tokio::test]
async fn a_supervisor_that_hangs_is_replaced_without_touching_instances() {
    let laboratory = Laboratory::empty();
    let (mut client, _) = ensure_running(&laboratory.folder, shopctl(), shopctl::COMMIT)
        .await
        .unwrap();
    let first = client.status().await.unwrap();
    let spec = laboratory.spec("a-0", FOREVER);
    client.apply(&[spec], true).await.unwrap();
    let before = laboratory.ready("a-0").await;

    signal(first.pid, Signal::SIGSTOP);
    let (client, launched) = ensure_running(&laboratory.folder, shopctl(), shopctl::COMMIT)
        .await
        .unwrap();
    assert_eq!(launched, Launched::Replaced);
    assert!(!lives(first.pid), "the one that hangs still lives");
    let after = laboratory.ready("a-0").await;
    assert_eq!((after.pid, after.restarts), (before.pid, 0));
    client.shutdown(true).await.unwrap();
}

#[tokio::test]
async fn a_supervisor_that_hangs_is_not_killed_on_the_word_of_a_lock_that_names_another() {
    let mut laboratory = Laboratory::new().await;
    let hung = laboratory.supervisor_pid();
    let stranger = Stranger::start();
    fs::write(
        laboratory.folder.state_dir().join("supervisor.lock"),
        format!("{}\n", stranger.0.id()),
    )
    .unwrap();
    signal(hung, Signal::SIGSTOP);
    let refused = ensure_running(&laboratory.folder, shopctl(), shopctl::COMMIT).await;
    assert!(refused.is_err());
    assert!(lives(hung), "it was killed");
    laboratory.kill_supervisor();
}

#[tokio::test]
async fn two_that_start_a_supervisor_at_once_get_the_same_one() {
    let laboratory = Laboratory::empty();
    let start = || ensure_running(&laboratory.folder, shopctl(), shopctl::COMMIT);
    let (one, other) = tokio::join!(start(), start());
    let mut one = one.unwrap().0;
    let mut other = other.unwrap().0;
    assert_eq!(
        one.status().await.unwrap().pid,
        other.status().await.unwrap().pid
    );
    one.shutdown(true).await.unwrap();
}

/// Kills supervisors while they apply, and checks after each that nothing runs twice and, in the end, that all that is
/// wanted runs once. Children are forked and exec'd in between all the time, so this would find a process that lives
/// unrecorded.
#[tokio::test]
async fn supervisors_killed_at_any_moment_leave_each_instance_exactly_once() {
    const ROUNDS: u32 = 25;
    let seed = 20_261_121;
    let mut random = StdRng::seed_from_u64(seed);
    let mut laboratory = Laboratory::empty();
    let names = ["a-0", "a-1", "b-0", "c-0", "c-1", "c-2"];
    for round in 0..ROUNDS {
        laboratory.launch_supervisor();
        let mut specs = Vec::new();
        for name in names {
            if random.random_bool(0.8) {
                let mut spec = laboratory.spec(name, FOREVER);
                spec.spec_hash = random.random_range(0..3).to_string();
                spec.stop.timeout_seconds = 1;
                specs.push(spec);
            }
        }
        let moment = Duration::from_millis(random.random_range(0..250));
        let folder = laboratory.folder.clone();
        let applying = tokio::spawn(async move { keep_applying(&folder, &specs).await });
        tokio::time::sleep(moment).await;
        laboratory.kill_supervisor();
        applying.abort();
        for name in names {
            let living = laboratory.marked(name);
            assert!(
                living.len() <= 1,
                "round {round} of seed {seed}, killed after {moment:?}: {name} is {living:?}"
            );
        }
    }
    laboratory.start_supervisor().await;
    let specs = names.map(|name| laboratory.spec(name, FOREVER));
    let mut client = laboratory.client().await;
    client.apply(&specs, true).await.unwrap();
    let all = names.map(str::to_owned);
    let status = client.wait_ready(&all, LIMIT, |_| ()).await.unwrap();
    let listed: BTreeMap<&str, i32> = status
        .instances
        .iter()
        .map(|instance| (instance.instance.as_str(), instance.pid.unwrap()))
        .collect();
    for name in names {
        assert_eq!(laboratory.marked(name), [listed[name]], "{name}");
    }
    assert!(status.instances.iter().all(is_up));
}

/// Applies as soon as somebody listens, and again.
async fn keep_applying(folder: &StateFolder, specs: &[shopctl::supervisor::InstanceSpec]) {
    loop {
        if let Ok(mut client) = Client::connect(folder.run_dir()).await {
            let _ = client.apply(specs, true).await;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
