//! Probes of real servers: what they say of themselves, and what happens when they hang.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use shop_testkit::{Durability, Postgres, Role, eventually, free_port};
use shopctl::supervisor::{InstanceSpec, InstanceState, ProbeCheck, ProbeOutcome, ProbeSpec};

use crate::laboratory::{FOREVER, LIMIT, Laboratory, signal};

const PASSWORD: &str = "correct horse battery staple";

fn server(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("these tests need `{name}`; install it with: apt-get install redis-server redis-sentinel"))
}

fn probe(check: ProbeCheck) -> ProbeSpec {
    ProbeSpec {
        check,
        interval_milliseconds: 100,
        timeout_milliseconds: 500,
        failures: 3,
        start_seconds: 15,
    }
}

/// A Redis with a user `probe` that may ask for its role.
fn redis(laboratory: &Laboratory, name: &str, port: u16, master: Option<u16>) -> InstanceSpec {
    let folder = laboratory.path(name);
    fs::create_dir(&folder).unwrap();
    let mut config = format!(
        "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nuser default off\nuser probe on \">{PASSWORD}\" +role +ping\n\
         user replication on \">{PASSWORD}\" +psync +replconf +ping\nmasteruser replication\nmasterauth \"{PASSWORD}\"\n",
        folder.display()
    );
    if let Some(master) = master {
        writeln!(config, "replicaof 127.0.0.1 {master}").unwrap();
    }
    let file = folder.join("redis.conf");
    fs::write(&file, config).unwrap();
    let password_file = folder.join("password");
    fs::write(&password_file, format!("{PASSWORD}\n")).unwrap();
    let mut spec = laboratory.spec(name, "");
    spec.argv = vec![
        server("redis-server").display().to_string(),
        file.display().to_string(),
    ];
    spec.address = format!("127.0.0.1:{port}");
    spec.probe = Some(probe(ProbeCheck::Redis {
        address: format!("127.0.0.1:{port}"),
        user: Some("probe".to_owned()),
        password_file: Some(password_file),
    }));
    spec
}

#[tokio::test]
async fn redis_tells_its_role_and_a_hang_is_replaced() {
    let laboratory = Laboratory::new().await;
    let (first, second) = (free_port(), free_port());
    let specs = [
        redis(&laboratory, "redis-0", first, None),
        redis(&laboratory, "redis-1", second, Some(first)),
    ];
    laboratory.client().await.apply(&specs, true).await.unwrap();
    let master = laboratory.ready("redis-0").await;
    let replica = laboratory.ready("redis-1").await;
    assert_eq!(
        (master.role.as_deref(), replica.role.as_deref()),
        (Some("master"), Some("replica"))
    );

    let hung = master.pid.unwrap();
    signal(hung, Signal::SIGSTOP);
    let after = laboratory
        .until("redis-0", "to be replaced", |status| {
            status.restarts == 1 && status.ready
        })
        .await;
    let exit = after.last_exit.unwrap();
    assert_eq!((exit.pid, exit.signal), (Some(hung), Some(9)));
    let reason = exit.reason.unwrap();
    assert!(reason.contains("3 probes in a row failed"), "{reason}");
    assert_eq!(after.role.as_deref(), Some("master"));
}

#[tokio::test]
async fn a_replica_without_its_master_is_alive_and_not_ready_and_left_alone() {
    let laboratory = Laboratory::new().await;
    let nobody = free_port();
    let spec = redis(&laboratory, "redis-0", free_port(), Some(nobody));
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let answered = |status: &shopctl::supervisor::InstanceStatus| {
        status
            .last_probe
            .as_ref()
            .is_some_and(|probe| probe.outcome == ProbeOutcome::Alive)
    };
    let status = laboratory.until("redis-0", "to answer", answered).await;
    assert_eq!(
        (status.state, status.ready),
        (InstanceState::Starting, false)
    );
    assert_eq!(status.role.as_deref(), Some("replica"));
    // Far more probes than failures would need.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let later = laboratory.until("redis-0", "to answer", answered).await;
    assert_eq!((later.pid, later.restarts), (status.pid, 0));
}

#[tokio::test]
async fn a_wrong_password_is_an_answer_that_says_so() {
    let laboratory = Laboratory::new().await;
    let spec = redis(&laboratory, "redis-0", free_port(), None);
    fs::write(laboratory.path("redis-0").join("password"), "wrong").unwrap();
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let status = laboratory.until("redis-0", "to refuse", |status| {
        status.last_probe.as_ref().is_some_and(|probe| {
            probe
                .detail
                .as_ref()
                .is_some_and(|detail| detail.contains("WRONGPASS"))
        })
    });
    let status = status.await;
    assert!(!status.ready);
    assert!(
        !format!("{status:?}").contains("wrong\""),
        "the password is shown"
    );
    // The file is read anew for each connection.
    fs::write(laboratory.path("redis-0").join("password"), PASSWORD).unwrap();
    assert_eq!(laboratory.ready("redis-0").await.pid, status.pid);
}

#[tokio::test]
async fn sentinel_tells_its_role() {
    let laboratory = Laboratory::new().await;
    let (port, watched) = (free_port(), free_port());
    let folder = laboratory.path("sentinel-0");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("sentinel.conf");
    let config = format!(
        "bind 127.0.0.1\nport {port}\ndir {}\nsentinel monitor shop 127.0.0.1 {watched} 1\n\
         user default off\nuser probe on \">{PASSWORD}\" +role\n",
        folder.display()
    );
    fs::write(&file, config).unwrap();
    let password_file = folder.join("password");
    fs::write(&password_file, PASSWORD).unwrap();
    let mut spec = laboratory.spec("sentinel-0", "");
    let program = server("redis-server").display().to_string();
    spec.argv = vec![program, file.display().to_string(), "--sentinel".to_owned()];
    spec.probe = Some(probe(ProbeCheck::Redis {
        address: format!("127.0.0.1:{port}"),
        user: Some("probe".to_owned()),
        password_file: Some(password_file),
    }));
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    assert_eq!(
        laboratory.ready("sentinel-0").await.role.as_deref(),
        Some("sentinel")
    );
}

/// The Postgres is the test's own and the supervised process a stand-in: what is tested is the probe.
#[tokio::test]
async fn postgres_tells_its_role_over_socket_and_network_and_its_silence_is_noticed() {
    let laboratory = Laboratory::new().await;
    let mut postgres = tokio::task::spawn_blocking(|| Postgres::start(Durability::Off))
        .await
        .unwrap();
    let sockets = postgres.socket_folder().display().to_string();
    let port = postgres.port();
    let database = postgres.database().await;
    let password_file = database.password_file(Role::Order).to_owned();
    let specs = [("socket-0", sockets.as_str()), ("network-0", "127.0.0.1")].map(|(name, host)| {
        let mut spec = laboratory.spec(name, FOREVER);
        spec.probe = Some(probe(ProbeCheck::Postgres {
            host: host.to_owned(),
            port,
            database: database.name().to_owned(),
            user: Role::Order.name().to_owned(),
            password_file: Some(password_file.clone()),
        }));
        spec
    });
    laboratory.client().await.apply(&specs, true).await.unwrap();
    for name in ["socket-0", "network-0"] {
        let status = laboratory.ready(name).await;
        assert_eq!(status.role.as_deref(), Some("primary"), "{status:?}");
    }
    drop(database);
    postgres.stop();
    for name in ["socket-0", "network-0"] {
        let status = laboratory
            .until(name, "to be replaced", |status| status.restarts >= 1)
            .await;
        assert!(
            status
                .last_exit
                .unwrap()
                .reason
                .unwrap()
                .contains("no answer at")
        );
    }
    postgres.start_again();
    laboratory.ready("socket-0").await;
}

#[tokio::test]
async fn a_service_that_answers_503_is_alive_and_one_that_stops_answering_is_replaced() {
    let laboratory = Laboratory::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (say, said) = tokio::sync::watch::channel(Some("503 Service Unavailable"));
    let serving = tokio::spawn(serve(listener, said));
    let mut spec = laboratory.spec("service-0", FOREVER);
    spec.probe = Some(probe(ProbeCheck::Http {
        address,
        path: "/readyz".to_owned(),
    }));
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    let status = laboratory
        .until("service-0", "to say what it lacks", |status| {
            status
                .last_probe
                .as_ref()
                .is_some_and(|probe| probe.outcome == ProbeOutcome::Alive)
        })
        .await;
    assert_eq!(
        status.last_probe.unwrap().detail.as_deref(),
        Some("status 503: postgres is away")
    );
    assert!(!status.ready);
    say.send(Some("200 OK")).unwrap();
    let ready = laboratory.ready("service-0").await;
    assert_eq!(
        (ready.pid, ready.role.as_deref()),
        (status.pid, Some("replica"))
    );
    // Takes connections and says nothing, as a hung process does.
    say.send(None).unwrap();
    let after = laboratory
        .until("service-0", "to be replaced", |status| status.restarts == 1)
        .await;
    let reason = after.last_exit.unwrap().reason.unwrap();
    assert!(reason.contains("no answer within 500 ms"), "{reason}");
    serving.abort();
}

/// Answers every request with the status of the moment, or not at all; keeps its connections.
async fn serve(
    listener: tokio::net::TcpListener,
    said: tokio::sync::watch::Receiver<Option<&'static str>>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let said = said.clone();
        tokio::spawn(async move {
            let mut request = [0; 1024];
            while stream
                .read(&mut request)
                .await
                .is_ok_and(|length| length > 0)
            {
                let status = *said.borrow();
                let Some(status) = status else { continue };
                let body = "postgres is away\n";
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test]
async fn a_port_that_accepts_is_enough_for_tcp() {
    let laboratory = Laboratory::new().await;
    let port = free_port();
    let mut spec = laboratory.spec("a-0", FOREVER);
    spec.probe = Some(probe(ProbeCheck::Tcp {
        address: format!("127.0.0.1:{port}"),
    }));
    laboratory
        .client()
        .await
        .apply(&[spec], true)
        .await
        .unwrap();
    laboratory
        .until("a-0", "to be refused", |status| {
            status
                .last_probe
                .as_ref()
                .is_some_and(|probe| probe.outcome == ProbeOutcome::Silent)
        })
        .await;
    let listener = eventually("the port to be free", LIMIT, || async {
        tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    laboratory.ready("a-0").await;
    drop(listener);
}
