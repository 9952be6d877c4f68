//! What the gateway's hop costs: CPU time a request, of the gateway and of the upstream it stands before, with 64
//! connections in a closed loop. Direct and through the gateway alternate within one run, so that a busy machine
//! disturbs both alike; rates say more about the machine than about the gateway.
//!
//! `cargo run --release -p shop-gateway --example hop`

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use shop_common::server::Shutdown;
use shop_gateway::Gateway;
use shop_token::{Issuer, Role, SigningKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => runtime.block_on(measure()),
        ["upstream"] => runtime.block_on(upstream()),
        ["gateway", upstream, jwks] => runtime.block_on(gateway(upstream, jwks)),
        _ => Err("takes no arguments".into()),
    }
}

/// Answers everything with two bytes.
async fn upstream() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = service_fn(async |_: hyper::Request<Incoming>| {
            Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(Bytes::from_static(
                b"ok",
            ))))
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer),
        );
    }
}

async fn gateway(upstream: &str, jwks: &str) -> Outcome<()> {
    let text = format!(
        "[http]\nlisten = '127.0.0.1:0'\nadminListen = '127.0.0.1:0'\nworkers = 2\n\
         [tokens]\njwksFile = '{jwks}'\n\
         [gateway.limits]\ncustomer = {{ perSecond = 1000000, burst = 1000000 }}\n\
         local = {{ perSecond = 1000000, burst = 1000000 }}\n\
         [upstreams.echo]\nendpoints = ['{upstream}']\n"
    );
    let config = shop_common::config::parse(Path::new("hop.toml"), &text)?;
    let gateway = Gateway::bind(config, Shutdown::new()).await?;
    println!("{}", gateway.address());
    Ok(gateway.serve().await?)
}

/// A process of this program in another role.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        Ok(Self {
            child,
            address: line.trim().parse()?,
        })
    }

    /// Time on a CPU so far, of all threads.
    fn cpu(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let figures = std::fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += figures
                .split(' ')
                .next()
                .and_then(|it| it.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn measure() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let jwks = folder.path().join("jwks.json");
    let issuer = Issuer::new(&SigningKey::generate(), "shop-auth", "shop");
    std::fs::write(&jwks, issuer.jwks().to_json())?;
    let upstream = Process::start(&["upstream"])?;
    let jwks = jwks
        .to_str()
        .ok_or("the temporary folder's name is not UTF-8")?;
    let gateway = Process::start(&["gateway", &upstream.address.to_string(), jwks])?;
    let token = issuer.issue(
        uuid::Uuid::now_v7(),
        Role::Customer,
        Duration::from_mins(15),
        None,
    );
    let body = r#"{"productId":"0199a7d2-0000-7000-8000-000000000000","quantity":1}"#;
    let cases = [
        (
            "GET, anonymous",
            "GET /api/echo/null HTTP/1.1\r\nhost: shop\r\n\r\n".to_owned(),
        ),
        (
            "POST, token, key, body",
            format!(
                "POST /api/echo/orders HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {token}\r\nidempotency-key: k\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        ),
    ];
    for (name, request) in cases {
        let mut direct = Figures::default();
        let mut through = Figures::default();
        for _ in 0..ROUNDS {
            direct.add(round(upstream.address, &request, &[&upstream]).await?);
            through.add(round(gateway.address, &request, &[&upstream, &gateway]).await?);
        }
        println!("{name}");
        println!(
            "  direct:  {:>7.0}/s, upstream {:.1} µs CPU a request",
            direct.rate(),
            direct.cpu(0)
        );
        println!(
            "  through: {:>7.0}/s, upstream {:.1} µs, gateway {:.1} µs CPU a request ({:.2} × the upstream's own)",
            through.rate(),
            through.cpu(0),
            through.cpu(1),
            through.cpu(1) / direct.cpu(0)
        );
    }
    Ok(())
}

/// Sums over rounds.
#[derive(Default)]
struct Figures {
    requests: u64,
    time: Duration,
    cpu: Vec<Duration>,
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.time += other.time;
        self.cpu.resize(other.cpu.len(), Duration::ZERO);
        self.cpu
            .iter_mut()
            .zip(other.cpu)
            .for_each(|(sum, more)| *sum += more);
    }

    fn rate(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }

    /// Microseconds of CPU a request, of one of the watched processes.
    fn cpu(&self, process: usize) -> f64 {
        self.cpu[process].as_secs_f64() * 1e6 / self.requests as f64
    }
}

async fn round(address: SocketAddr, request: &str, watched: &[&Process]) -> Outcome<Figures> {
    let request: std::sync::Arc<[u8]> = request.as_bytes().into();
    let before = watched
        .iter()
        .map(|it| it.cpu())
        .collect::<io::Result<Vec<_>>>()?;
    let started = Instant::now();
    let until = started + ROUND;
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(call(address, std::sync::Arc::clone(&request), until)))
        .collect();
    let mut requests = 0;
    for caller in callers {
        requests += caller.await??;
    }
    let time = started.elapsed();
    let after = watched
        .iter()
        .map(|it| it.cpu())
        .collect::<io::Result<Vec<_>>>()?;
    let cpu = after
        .iter()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before))
        .collect();
    Ok(Figures {
        requests,
        time,
        cpu,
    })
}

/// One connection's closed loop: a request, its answer, the next.
async fn call(
    address: SocketAddr,
    request: std::sync::Arc<[u8]>,
    until: Instant,
) -> io::Result<u64> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answered = 0;
    let mut answer = [0; 2048];
    while Instant::now() < until {
        stream.write_all(&request).await?;
        let mut length = 0;
        // The answer is two bytes after its head.
        while !answer[..length].ends_with(b"\r\n\r\nok") {
            let count = stream.read(&mut answer[length..]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            length += count;
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other(
                String::from_utf8_lossy(&answer[..length]).into_owned(),
            ));
        }
        answered += 1;
    }
    Ok(answered)
}
