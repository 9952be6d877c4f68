//! A k3s server without nodes, one for all tests of this binary. It ends with the process, however that ends.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use shop_testkit::free_port;
use shopctl::cluster::Cluster;

use super::skipped::say_skipped;

/// Where a test finds the server; none where there is no k3s.
pub(crate) fn kubeconfig() -> Option<&'static Path> {
    static SERVER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = SERVER.get_or_init(|| binary().map(|binary| start(&binary)));
    if found.is_none() {
        say_skipped(
            "there is no k3s: SHOPCTL_K3S_BINARY names one, or ~/.cache/shopctl/k3s/VERSION/k3s is one",
        );
    }
    found.as_deref()
}

/// A client of the server; none where there is no k3s.
pub(crate) async fn cluster() -> Option<Cluster> {
    let kubeconfig = kubeconfig()?;
    Some(Cluster::connect(kubeconfig).await.unwrap())
}

fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SHOPCTL_K3S_BINARY") {
        return Some(path.into());
    }
    let cache = Path::new(&std::env::var_os("HOME")?).join(".cache/shopctl/k3s");
    let mut found: Vec<PathBuf> = fs::read_dir(cache)
        .ok()?
        .filter_map(|version| Some(version.ok()?.path().join("k3s")))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop()
}

/// Runs a program until standard input is at its end, which is when the process at its other end has ended, however it
/// did. k3s starts itself anew from another thread, which loses the signal that the kernel sends to orphans.
const UNTIL_ORPHANED: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(read -r _ <&3; kill -KILL $server 2>/dev/null) &
wait $server
"#;

#[expect(
    clippy::zombie_processes,
    reason = "it lives as long as this process, and the shell around it ends it"
)]
fn start(binary: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("api-server");
    fs::create_dir_all(&folder).unwrap();
    // What the binary unpacks is kept for the next time; what it stored is not.
    let _ = fs::remove_dir_all(folder.join("server"));
    let kubeconfig = folder.join("kubeconfig");
    let _ = fs::remove_file(&kubeconfig);
    let log = folder.join("log");
    let mut command = Command::new("sh");
    command
        .args(["-c", UNTIL_ORPHANED, "sh"])
        .arg(binary)
        .args(["server", "--disable-agent", "--disable-helm-controller"])
        .args(["--disable-cloud-controller", "--disable-network-policy"])
        .arg("--disable=traefik,servicelb,metrics-server,local-storage,coredns")
        .args(["--bind-address", "127.0.0.1"])
        .arg(format!("--https-listen-port={}", free_ports()))
        .arg(format!(
            "--kube-controller-manager-arg=secure-port={}",
            free_port()
        ))
        .arg(format!("--kube-scheduler-arg=secure-port={}", free_port()))
        .arg("--data-dir")
        .arg(&folder)
        .arg("--write-kubeconfig")
        .arg(&kubeconfig)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&log).unwrap())
        .stderr(Stdio::from(
            fs::OpenOptions::new().append(true).open(&log).unwrap(),
        ));
    let mut child = command.spawn().unwrap();
    // Open as long as this process lives.
    std::mem::forget(child.stdin.take());
    let deadline = Instant::now() + Duration::from_secs(90);
    while !answers(&kubeconfig) {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("k3s ended with {status}; its log is {}", log.display());
        }
        assert!(
            Instant::now() < deadline,
            "k3s did not get ready; its log is {}",
            log.display()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    kubeconfig
}

/// Whether the API server answers and has made what every namespace needs.
fn answers(kubeconfig: &Path) -> bool {
    if !kubeconfig.exists() {
        return false;
    }
    // A test's own runtime is at work on this thread.
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let Ok(cluster) = Cluster::connect(kubeconfig).await else {
                        return false;
                    };
                    let accounts = cluster
                        .list_named("", "ServiceAccount", "default", "")
                        .await;
                    accounts.is_ok_and(|accounts| !accounts.is_empty())
                })
            })
            .join()
            .unwrap()
    })
}

/// A port that is free together with its successor, where k3s puts the API server itself.
fn free_ports() -> u16 {
    loop {
        let port = free_port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}
