//! Changes of what is wanted.

use std::fs;
use std::time::Duration;

use shop_testkit::{eventually, wait_until};
use shopctl::supervisor::{InstanceSpec, InstanceState, RolloutState, WaitError};

use crate::laboratory::{FOREVER, LIMIT, Laboratory, lives, probe_by};

/// Two replicas that are ready once a file of their own is there.
fn replicas(laboratory: &Laboratory, version: &str) -> Vec<InstanceSpec> {
    let specs = ["a-0", "a-1"].map(|name| {
        let mut spec = laboratory.spec(name, FOREVER);
        version.clone_into(&mut spec.spec_hash);
        let ready = laboratory.path(&format!("{name}-{version}"));
        let mut probe = probe_by(&format!("test -e {}", ready.display()));
        probe.start_seconds = 3;
        spec.probe = Some(probe);
        spec
    });
    specs.to_vec()
}

fn let_be_ready(laboratory: &Laboratory, names: &[&str], version: &str) {
    for name in names {
        fs::write(laboratory.path(&format!("{name}-{version}")), "").unwrap();
    }
}

#[tokio::test]
async fn changed_replicas_are_replaced_one_after_the_other() {
    let laboratory = Laboratory::new().await;
    let mut client = laboratory.client().await;
    let_be_ready(&laboratory, &["a-0", "a-1"], "old");
    let applied = client
        .apply(&replicas(&laboratory, "old"), true)
        .await
        .unwrap();
    assert_eq!(applied.started, ["a-0", "a-1"]);
    let names = ["a-0".to_owned(), "a-1".to_owned()];
    let before = client
        .wait_ready(&names, LIMIT, |_| ())
        .await
        .unwrap()
        .instances;

    let applied = client
        .apply(&replicas(&laboratory, "new"), true)
        .await
        .unwrap();
    assert_eq!(applied.replacing, ["a-0", "a-1"]);
    let first = laboratory
        .until("a-0", "to be replaced", |status| {
            status.spec_hash.as_deref() == Some("new")
        })
        .await;
    assert_ne!(first.pid, before[0].pid);
    assert_eq!(first.state, InstanceState::Starting);
    // The second waits for the first, also when somebody applies the same again.
    client
        .apply(&replicas(&laboratory, "new"), true)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let status = client.status().await.unwrap();
    assert_eq!(
        (status.instances[1].pid, status.instances[1].ready),
        (before[1].pid, true)
    );
    assert_eq!(status.rollout.unwrap().waiting, ["a-1"]);

    let_be_ready(&laboratory, &["a-0", "a-1"], "new");
    let after = client.wait_ready(&names, LIMIT, |_| ()).await.unwrap();
    assert_eq!(after.rollout, None);
    for (old, new) in before.iter().zip(&after.instances) {
        assert_ne!(old.pid, new.pid);
        assert_eq!(
            (new.restarts, new.spec_hash.as_deref()),
            (0, Some("new")),
            "a replacement is no restart"
        );
    }
    assert!(
        client
            .apply(&replicas(&laboratory, "new"), true)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_broken_change_stops_at_the_first_replica_and_does_not_block_its_repair() {
    let laboratory = Laboratory::new().await;
    let mut client = laboratory.client().await;
    let_be_ready(&laboratory, &["a-0", "a-1"], "good");
    client
        .apply(&replicas(&laboratory, "good"), true)
        .await
        .unwrap();
    let names = ["a-0".to_owned(), "a-1".to_owned()];
    let before = client
        .wait_ready(&names, LIMIT, |_| ())
        .await
        .unwrap()
        .instances;

    let mut broken = replicas(&laboratory, "broken");
    for spec in &mut broken {
        spec.argv[2] = "echo out of order; exit 1".to_owned();
        spec.restart.initial_milliseconds = 20;
    }
    client.apply(&broken, true).await.unwrap();
    let stopped = client.wait_ready(&names, LIMIT, |_| ()).await.unwrap_err();
    let WaitError::RolloutStopped { instance, reason } = stopped else {
        panic!("{stopped}");
    };
    assert_eq!(instance, "a-0");
    assert!(reason.contains("exit code 1"), "{reason}");
    let status = client.status().await.unwrap();
    assert_eq!(status.rollout.unwrap().state, RolloutState::Stopped);
    assert_eq!(
        status.instances[1].pid, before[1].pid,
        "the other replica was touched"
    );

    let_be_ready(&laboratory, &["a-0", "a-1"], "fixed");
    client
        .apply(&replicas(&laboratory, "fixed"), true)
        .await
        .unwrap();
    let after = client.wait_ready(&names, LIMIT, |_| ()).await.unwrap();
    assert!(
        after
            .instances
            .iter()
            .all(|instance| instance.spec_hash.as_deref() == Some("fixed"))
    );
}

#[tokio::test]
async fn a_replacement_goes_on_under_the_next_supervisor() {
    let mut laboratory = Laboratory::new().await;
    let mut client = laboratory.client().await;
    let_be_ready(&laboratory, &["a-0", "a-1"], "old");
    client
        .apply(&replicas(&laboratory, "old"), true)
        .await
        .unwrap();
    let names = ["a-0".to_owned(), "a-1".to_owned()];
    client.wait_ready(&names, LIMIT, |_| ()).await.unwrap();
    client
        .apply(&replicas(&laboratory, "new"), true)
        .await
        .unwrap();
    laboratory
        .until("a-0", "to be replaced", |status| {
            status.spec_hash.as_deref() == Some("new")
        })
        .await;
    laboratory.kill_supervisor();
    let_be_ready(&laboratory, &["a-0", "a-1"], "new");
    laboratory.start_supervisor().await;
    let mut client = laboratory.client().await;
    let after = client.wait_ready(&names, LIMIT, |_| ()).await.unwrap();
    assert!(
        after
            .instances
            .iter()
            .all(|instance| instance.spec_hash.as_deref() == Some("new"))
    );
}

#[tokio::test]
async fn what_a_complete_list_does_not_name_is_stopped_and_forgotten() {
    let laboratory = Laboratory::new().await;
    let mut client = laboratory.client().await;
    let specs = ["a-0", "b-0"].map(|name| laboratory.spec(name, FOREVER));
    client.apply(&specs, true).await.unwrap();
    let gone = laboratory.ready("b-0").await.pid.unwrap();
    let kept = laboratory.ready("a-0").await.pid;
    let partial = client.apply(&specs[..1], false).await.unwrap();
    assert!(
        partial.is_empty(),
        "a list that is not complete stops nothing: {partial:?}"
    );
    let applied = client.apply(&specs[..1], true).await.unwrap();
    assert_eq!(
        (applied.stopping, applied.unchanged),
        (vec!["b-0".to_owned()], vec!["a-0".to_owned()])
    );
    eventually("b-0 to be forgotten", LIMIT, || async {
        let status = laboratory.client().await.status().await.unwrap();
        if status.instances.len() == 1 {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    assert!(!lives(gone));
    assert_eq!(laboratory.ready("a-0").await.pid, kept);
    assert!(
        !laboratory.folder.record("b-0").exists(),
        "the record of a stopped process is removed"
    );
}

#[tokio::test]
async fn what_was_stopped_stays_stopped_until_it_is_wanted_again() {
    let mut laboratory = Laboratory::new().await;
    let mut client = laboratory.client().await;
    let specs = ["a-0", "b-0"].map(|name| laboratory.spec(name, FOREVER));
    client.apply(&specs, true).await.unwrap();
    laboratory.ready("a-0").await;
    client.stop(&["a-0".to_owned()]).await.unwrap();
    laboratory.kill_supervisor();
    laboratory.start_supervisor().await;
    let mut client = laboratory.client().await;
    laboratory.ready("b-0").await;
    let status = client.status().await.unwrap();
    assert_eq!(
        (status.instances[0].state, status.instances[0].pid),
        (InstanceState::Stopped, None)
    );
    client.start(&["a-0".to_owned()]).await.unwrap();
    laboratory.ready("a-0").await;
    client.stop(&["a-0".to_owned()]).await.unwrap();
    let applied = client.apply(&specs, true).await.unwrap();
    assert_eq!(
        (applied.started, applied.unchanged),
        (vec!["a-0".to_owned()], vec!["b-0".to_owned()])
    );
    laboratory.ready("a-0").await;
}

#[tokio::test]
async fn a_restart_gives_a_new_process_and_no_count() {
    let laboratory = Laboratory::new().await;
    let mut client = laboratory.client().await;
    let spec = laboratory.spec("a-0", FOREVER);
    client.apply(&[spec], true).await.unwrap();
    let before = laboratory.ready("a-0").await;
    client.restart("a-0").await.unwrap();
    let after = laboratory.ready("a-0").await;
    assert_ne!(before.pid, after.pid);
    assert_eq!(after.restarts, 0);
    assert!(!lives(before.pid.unwrap()));
    let error = client.restart("z-0").await.unwrap_err();
    assert_eq!(error.to_string(), "failed to find instance z-0");
}

#[tokio::test]
async fn everything_is_stopped_in_the_reverse_of_its_order() {
    let laboratory = Laboratory::new().await;
    let mut client = laboratory.client().await;
    let ends = laboratory.path("ends");
    let script = |name: &str| {
        format!(
            "trap 'echo {name} >> {}; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
            ends.display()
        )
    };
    let specs =
        ["database-0", "cache-0", "gateway-0"].map(|name| laboratory.spec(name, &script(name)));
    client.apply(&specs, true).await.unwrap();
    for name in ["database-0", "cache-0", "gateway-0"] {
        wait_until("the trap to be set", LIMIT, || {
            match laboratory.log(name).len() {
                0 => Err(format!("{name} has no line")),
                _ => Ok(()),
            }
        });
    }
    client.shutdown(true).await.unwrap();
    assert_eq!(
        fs::read_to_string(&ends).unwrap(),
        "gateway-0\ncache-0\ndatabase-0\n"
    );
}

#[tokio::test]
async fn a_list_with_a_bad_entry_changes_nothing() {
    let laboratory = Laboratory::new().await;
    let mut client = laboratory.client().await;
    let good = laboratory.spec("a-0", FOREVER);
    let relative = {
        let mut spec = laboratory.spec("b-0", "");
        spec.argv = vec!["sleep".to_owned()];
        spec
    };
    let escaping = {
        let mut spec = laboratory.spec("c-0", FOREVER);
        "../../c-0".clone_into(&mut spec.name);
        spec
    };
    for (bad, reason) in [
        (relative, "not an absolute path"),
        (escaping, "its name"),
        (good.clone(), "given twice"),
    ] {
        let error = client.apply(&[good.clone(), bad], true).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(client.status().await.unwrap().instances.is_empty());
        assert!(!laboratory.folder.desired().exists());
    }
}
