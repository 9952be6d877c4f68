//! A state folder that is broken, full or forbidden.

use std::fs;
use std::path::Path;
use std::process::Command;

use shopctl::supervisor::{StateFolder, SupervisorError, ensure_running, observe};

use crate::laboratory::{FOREVER, Laboratory, lives, shopctl};

#[tokio::test]
async fn a_corrupt_desired_state_is_refused_with_the_way_out() {
    let laboratory = Laboratory::empty();
    fs::create_dir_all(laboratory.folder.state_dir()).unwrap();
    for (text, reason) in [
        ("", "EOF while parsing"),
        (
            "{\"format\":1,\"instances\":[{\"want\":\"running\"",
            "EOF while parsing",
        ),
        (
            "{\"format\":1,\"instances\":[{\"want\":\"maybe\"}]}",
            "unknown variant `maybe`",
        ),
        (
            "{\"format\":99,\"whatever\":true}",
            "it has format 99, this shopctl knows up to 1",
        ),
    ] {
        fs::write(laboratory.folder.desired(), text).unwrap();
        let output = laboratory.command().output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("desired.json") && said.contains(reason) && said.contains("hint"),
            "{said}"
        );
        assert_eq!(
            fs::read_to_string(laboratory.folder.desired()).unwrap(),
            text,
            "the file was touched"
        );
        assert!(observe(&laboratory.folder).is_err());
        // Who starts a supervisor is told the same, and does not wait for it in vain.
        let error = ensure_running(&laboratory.folder, shopctl(), shopctl::COMMIT)
            .await
            .unwrap_err();
        assert!(
            error.hint().unwrap().contains(reason),
            "{error}: {:?}",
            error.hint()
        );
    }
}

#[tokio::test]
async fn the_way_out_of_a_corrupt_desired_state_keeps_what_lives() {
    let mut laboratory = Laboratory::new().await;
    let spec = laboratory.spec("a-0", FOREVER);
    laboratory
        .client()
        .await
        .apply(std::slice::from_ref(&spec), true)
        .await
        .unwrap();
    let pid = laboratory.ready("a-0").await.pid.unwrap();
    laboratory.kill_supervisor();
    fs::rename(laboratory.folder.desired(), laboratory.path("away")).unwrap();
    // Until it is applied again a process without an entry is a stray, so this is what `up` does at once.
    laboratory.start_supervisor().await;
    let _ = laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let after = laboratory.ready("a-0").await;
    assert!(after.pid == Some(pid) || !lives(pid), "two of them live");
    assert_eq!(laboratory.marked("a-0").len(), 1);
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_is_named() {
    if !nix::unistd::geteuid().is_root() {
        super::skipped::say_skipped("only root can mount the small file system that this needs");
        return;
    }
    let laboratory = Laboratory::empty();
    let small = SmallDisk::mount(&laboratory.path("small"));
    let folder = StateFolder::new(small.path.join("state"), laboratory.folder.run_dir());
    let (mut client, _) = ensure_running(&folder, shopctl(), shopctl::COMMIT)
        .await
        .unwrap();
    let mut spec = laboratory.spec("a-0", FOREVER);
    spec.log = laboratory.path("log");
    client
        .apply(std::slice::from_ref(&spec), true)
        .await
        .unwrap();
    let names = ["a-0".to_owned()];
    let before = client
        .wait_ready(&names, crate::laboratory::LIMIT, |_| ())
        .await
        .unwrap();
    let saved = fs::read(folder.desired()).unwrap();

    small.fill();
    let mut more = laboratory.spec("b-0", FOREVER);
    more.log = laboratory.path("log");
    let error = client.apply(&[spec.clone(), more], true).await.unwrap_err();
    assert!(matches!(error, SupervisorError::Refused { .. }));
    assert!(
        error
            .to_string()
            .contains("desired.json: No space left on device"),
        "{error}"
    );
    assert!(
        error.hint().unwrap().contains("free some space"),
        "{:?}",
        error.hint()
    );
    let after = client.status().await.unwrap();
    assert_eq!(after.instances.len(), 1);
    assert_eq!(after.instances[0].pid, before.instances[0].pid);
    assert_eq!(
        fs::read(folder.desired()).unwrap(),
        saved,
        "the file was cut"
    );

    // A process that dies meanwhile cannot be recorded, so it must not be started either; with space it is.
    crate::laboratory::signal(
        after.instances[0].pid.unwrap(),
        nix::sys::signal::Signal::SIGKILL,
    );
    shop_testkit::eventually("the start to fail", crate::laboratory::LIMIT, || async {
        let mut client = shopctl::supervisor::Client::connect(folder.run_dir())
            .await
            .unwrap();
        let status = client.status().await.unwrap();
        match &status.instances[0].last_exit {
            Some(exit) if exit.to_string().contains("No space left on device") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(laboratory.marked("a-0").is_empty());
    small.free();
    client
        .wait_ready(&names, crate::laboratory::LIMIT, |_| ())
        .await
        .unwrap();
    client.shutdown(true).await.unwrap();
}

/// A file system of half a megabyte.
struct SmallDisk {
    path: std::path::PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path) -> Self {
        fs::create_dir(path).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(path)
            .status();
        assert!(status.unwrap().success(), "root could not mount a tmpfs");
        Self {
            path: path.to_owned(),
        }
    }

    fn fill(&self) {
        let error = fs::write(self.path.join("filler"), vec![0; 1024 * 1024]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    fn free(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
