//! The gateway as it runs in the shop: `shopd gateway` before `shopd echo`, processes that are killed and stopped.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use nix::sys::signal::Signal;
use serde_json::Value;
use shop_testkit::{Launch, Process, eventually, free_port, shopd};
use tempfile::TempDir;

use crate::harness::{LIMIT, client, get, request, try_send};

/// A service that runs as a process.
struct Running {
    process: Process,
    port: u16,
    admin: u16,
}

impl Running {
    async fn start(folder: &Path, service: &str, index: usize, port: u16, sections: &str) -> Self {
        let admin = free_port();
        let name = format!("{service}-{index}");
        let file = folder.join(format!("{name}.toml"));
        let http = format!(
            "instance = '{name}'\n[http]\nlisten = '127.0.0.1:{port}'\nadminListen = '127.0.0.1:{admin}'\n"
        );
        std::fs::write(&file, http + sections).unwrap();
        let process = Process::spawn(Launch {
            name: name.clone(),
            argv: [
                shopd().to_str().unwrap(),
                service,
                "--config",
                file.to_str().unwrap(),
            ]
            .map(str::to_owned)
            .to_vec(),
            environment: Vec::new(),
            log: folder.join(format!("{name}.log")),
            unprivileged: false,
            on_orphaned: Signal::SIGKILL,
        });
        let started = Self {
            process,
            port,
            admin,
        };
        let ready = format!("http://127.0.0.1:{admin}/readyz");
        eventually(&format!("{name} to be ready"), LIMIT, async || {
            let answer = try_send(&client(), request(Method::GET, &ready, &[], "")).await?;
            if answer.status == 200 {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await;
        started
    }
}

/// Two gateways on one port before two echoes.
struct Shop {
    gateways: Vec<Running>,
    echoes: Vec<Running>,
    folder: TempDir,
    gateway_sections: String,
}

impl Shop {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let jwks = folder.path().join("jwks.json");
        let issuer =
            shop_token::Issuer::new(&shop_token::SigningKey::generate(), "shop-auth", "shop");
        std::fs::write(&jwks, issuer.jwks().to_json()).unwrap();
        let tokens = format!("[tokens]\njwksFile = '{}'\n", jwks.display());
        let mut echoes = Vec::new();
        for index in 0..2 {
            echoes.push(Running::start(folder.path(), "echo", index, free_port(), "").await);
        }
        let endpoints: Vec<String> = echoes
            .iter()
            .map(|it| format!("'127.0.0.1:{}'", it.port))
            .collect();
        let gateway_sections = format!(
            "{tokens}[upstreams.echo]\nendpoints = [{}]\n",
            endpoints.join(", ")
        );
        let port = free_port();
        let mut gateways = Vec::new();
        for index in 0..2 {
            gateways.push(
                Running::start(folder.path(), "gateway", index, port, &gateway_sections).await,
            );
        }
        Self {
            gateways,
            echoes,
            folder,
            gateway_sections,
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api/echo", self.gateways[0].port)
    }
}

/// Callers in closed loops: keyed requests, as many as can be in the time; one second try on a broken connection, as
/// a good client does.
struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: Vec<tokio::task::JoinHandle<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    failed: Vec<String>,
    slowest: Duration,
    retried: usize,
}

impl Load {
    fn start(url: &str) -> Self {
        let (over, answered) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let callers = (0..8)
            .map(|_| {
                let (url, over, answered) =
                    (url.to_owned(), Arc::clone(&over), Arc::clone(&answered));
                tokio::spawn(async move {
                    let client = client();
                    let mut seen = Seen::default();
                    while !over.load(Ordering::Relaxed) {
                        let started = Instant::now();
                        let order =
                            || request(Method::POST, &url, &[("idempotency-key", "k")], "{}");
                        let mut answer = try_send(&client, order()).await;
                        if answer.is_err() {
                            seen.retried += 1;
                            answer = try_send(&client, order()).await;
                        }
                        match answer {
                            Ok(answer) if answer.status == 200 => {
                                answered.fetch_add(1, Ordering::Relaxed)
                            }
                            Ok(answer) => {
                                seen.failed.push(answer.text());
                                0
                            }
                            Err(error) => {
                                seen.failed.push(error);
                                0
                            }
                        };
                        seen.slowest = seen.slowest.max(started.elapsed());
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    seen
                })
            })
            .collect();
        Self {
            over,
            answered,
            callers,
        }
    }

    /// Waits until so many more requests have been answered.
    async fn more(&self, count: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + count;
        eventually("requests to be answered", LIMIT, async || {
            match self.answered.load(Ordering::Relaxed) {
                enough if enough >= wanted => Ok(()),
                few => Err(format!("{few} of {wanted}")),
            }
        })
        .await;
    }

    async fn end(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for caller in self.callers {
            let seen = caller.await.unwrap();
            all.failed.extend(seen.failed);
            all.slowest = all.slowest.max(seen.slowest);
            all.retried += seen.retried;
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_or_stopped_costs_no_keyed_request_and_not_the_time_limit() {
    let mut shop = Shop::start().await;
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        let load = Load::start(&shop.url());
        load.more(100).await;
        shop.echoes[0].process.signal(signal);
        load.more(200).await;
        let seen = load.end().await;
        println!("echo {signal}: slowest request {:?}", seen.slowest);
        assert_eq!(seen.failed, Vec::<String>::new(), "{signal}");
        // The service's own limit is 10 s: what is left is for a busy machine.
        assert!(
            seen.slowest < Duration::from_secs(5),
            "{signal}: {:?}",
            seen.slowest
        );
        // The next round takes the other one, beside a fresh replica in the first one's place.
        shop.echoes[0].process.signal(Signal::SIGKILL);
        let port = shop.echoes[0].port;
        let fresh = Running::start(shop.folder.path(), "echo", 2, port, "").await;
        shop.echoes[0] = fresh;
        shop.echoes.swap(0, 1);
        Load::start(&shop.url()).more(200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_costs_no_keyed_request_of_a_client_that_tries_again() {
    let mut shop = Shop::start().await;
    let load = Load::start(&shop.url());
    load.more(100).await;
    shop.gateways[0].process.kill9();
    load.more(200).await;
    let seen = load.end().await;
    println!(
        "gateway killed: slowest request {:?}, {} tried again",
        seen.slowest, seen.retried
    );
    assert_eq!(seen.failed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_are_replaced_one_after_the_other_without_a_broken_request() {
    let mut shop = Shop::start().await;
    let load = Load::start(&shop.url());
    for index in 0..2 {
        load.more(100).await;
        let status = tokio::task::block_in_place(|| {
            shop.gateways[index].process.stop(Signal::SIGTERM, LIMIT)
        });
        assert!(
            status.success(),
            "{status}: {}",
            shop.gateways[index].process.log_tail()
        );
        let port = shop.gateways[index].port;
        let sections = shop.gateway_sections.clone();
        shop.gateways[index] =
            Running::start(shop.folder.path(), "gateway", index, port, &sections).await;
    }
    load.more(100).await;
    let seen = load.end().await;
    assert_eq!(seen.failed, Vec::<String>::new());
    assert_eq!(
        seen.retried, 0,
        "a drain breaks no connection that is in use"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_gateway_is_small() {
    let shop = Shop::start().await;
    let metrics = get(
        &client(),
        &format!("http://127.0.0.1:{}/metrics", shop.gateways[0].admin),
    )
    .await
    .text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("process_resident_memory_bytes "))
        .unwrap();
    let resident: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    println!("an idle gateway: {:.1} MB", resident / 1e6);
    assert!(resident < 40e6, "{resident}");
}

#[test]
fn a_file_that_makes_no_sense_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let http = "[http]\nlisten = '127.0.0.1:0'\nadminListen = '127.0.0.1:0'\n";
    for (sections, reason) in [
        ("[upstreams.echo]\nendpoints = []\n", "`upstreams.echo`"),
        ("[upstreams.payment]\nendpoints = ['a:1']\n", "`payment`"),
        (
            "[gateway]\ntrustedProxies = ['ten']\n[upstreams.echo]\nendpoints = ['a:1']\n",
            "`ten`",
        ),
        (
            "[gateway]\nretries = 3\n[upstreams.echo]\nendpoints = ['a:1']\n",
            "retries",
        ),
    ] {
        std::fs::write(&file, format!("{http}{sections}")).unwrap();
        for check in [&["--check-config"][..], &[]] {
            let output = Command::new(shopd())
                .args(["gateway", "--config"])
                .arg(&file)
                .args(check)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2), "{sections}: {output:?}");
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(message.contains(reason), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_another_program_holds_is_named() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let address = holder.local_addr().unwrap();
    let text = format!(
        "[http]\nlisten = '{address}'\nadminListen = '127.0.0.1:0'\n[upstreams.echo]\nendpoints = ['127.0.0.1:1']\n"
    );
    std::fs::write(&file, text).unwrap();
    let output = Command::new(shopd())
        .args(["gateway", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains(&format!("failed to listen on {address}")) && message.contains("in use"),
        "{message}"
    );
    // Logs are JSON, the failure among them.
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(
        log.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{log}"
    );
}
