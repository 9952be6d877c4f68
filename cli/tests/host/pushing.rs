//! Large files.

use std::fs;
use std::path::Path;
use std::process::Command as Process;
use std::sync::Mutex;
use std::time::Duration;

use shopctl::event::{Event, Observer, Unobserved};
use shopctl::host::{HostError, Mode, Push, push_file, sha256_of};

use crate::sshd::Sshd;

const SIZE: u64 = 200 << 20;

/// Keeps what is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn observe(&self, event: Event) {
        let text = match event {
            Event::StepProgress { waiting_for, .. } => waiting_for,
            Event::Note { text } => text,
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

/// A file whose content is nowhere the same.
fn make_file(path: &Path, size: u64) {
    let words = size / 8;
    let bytes: Vec<u8> = (0..words).flat_map(u64::to_le_bytes).collect();
    fs::write(path, bytes).unwrap();
}

fn parts_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.contains(".part"))
        .collect()
}

#[tokio::test]
async fn a_cut_connection_costs_only_what_had_not_arrived() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    let from = sshd.path("k3s");
    make_file(&from, SIZE);
    let sha256 = sha256_of(&from).unwrap();
    let there = sshd.path("there");
    let to = there.join("k3s");
    let push = Push {
        from: &from,
        sha256: &sha256,
        to: to.to_str().unwrap(),
        mode: Mode::Program,
        step: "put k3s on server-1",
    };
    let told = Told::default();
    let cutting = async {
        // As soon as a good part of it is there.
        loop {
            let size = parts_in_size(&there);
            assert!(!to.exists(), "it was too fast to be cut");
            if size > 20 << 20 {
                assert!(sshd.cut() > 0);
                return size;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let (pushed, cut_at) = tokio::join!(push_file(&host, &push, &told), cutting);
    assert!(pushed.unwrap());
    assert_eq!(sha256_of(&to).unwrap(), sha256);
    assert!(parts_in(&there).is_empty());
    let told = told.0.into_inner().unwrap();
    assert!(
        told.iter()
            .any(|text| text.contains("goes on from what arrived")),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|text| text.contains("k3s to reach server-1 (")),
        "{told:?}"
    );
    assert!(cut_at > 0);
    assert!(
        !push_file(&host, &push, &Unobserved).await.unwrap(),
        "pushed twice"
    );
}

fn parts_in_size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .max()
        .unwrap_or(0)
}

#[tokio::test]
async fn what_arrives_otherwise_never_gets_the_name() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    let from = sshd.path("k3s");
    make_file(&from, 1 << 20);
    let to = sshd.path("there/k3s");
    fs::create_dir(sshd.path("there")).unwrap();
    fs::write(&to, "the old one").unwrap();
    let push = Push {
        from: &from,
        sha256: &"0".repeat(64),
        to: to.to_str().unwrap(),
        mode: Mode::Program,
        step: "put",
    };
    let error = push_file(&host, &push, &Unobserved).await.unwrap_err();
    assert!(matches!(error, HostError::Checksum { .. }), "{error}");
    assert_eq!(fs::read_to_string(&to).unwrap(), "the old one");
    assert!(parts_in(&sshd.path("there")).is_empty());
    // A part that somebody spoiled is found out and sent anew.
    let sha256 = sha256_of(&from).unwrap();
    let part = sshd.path(&format!("there/.k3s.{sha256}.part"));
    fs::write(&part, "x".repeat(1000)).unwrap();
    let push = Push {
        sha256: &sha256,
        ..push
    };
    assert!(push_file(&host, &push, &Unobserved).await.unwrap());
    assert_eq!(sha256_of(&to).unwrap(), sha256);
}

/// A file system of a few MiB, taken away with the test.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path) -> Self {
        fs::create_dir_all(path).unwrap();
        let status = Process::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(path)
            .status()
            .unwrap();
        assert!(status.success());
        Self(path)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_not_left_full() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    let from = sshd.path("k3s");
    make_file(&from, 8 << 20);
    let sha256 = sha256_of(&from).unwrap();
    let there = sshd.path("there");
    let _disk = SmallDisk::mount(&there);
    let to = there.join("k3s");
    let push = Push {
        from: &from,
        sha256: &sha256,
        to: to.to_str().unwrap(),
        mode: Mode::Program,
        step: "put",
    };
    let error = push_file(&host, &push, &Unobserved).await.unwrap_err();
    assert!(matches!(error, HostError::DiskFull { .. }), "{error}");
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    let content = vec![b'x'; 5 << 20];
    let small = there.join("config.yaml");
    let error = shopctl::host::write_file(&host, small.to_str().unwrap(), &content, Mode::Public)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no space is left"), "{error}");
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
}
