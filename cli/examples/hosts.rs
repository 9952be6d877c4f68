//! Takes hosts to a cluster of k3s and back, without an environment file: what `shopctl up` does first, alone.
//!
//! `cargo run -p shopctl --example hosts -- VERB --state DIR --server NAME=ADDRESS [--agent NAME=ADDRESS]…
//! [--user NAME] [--identity FILE] [--k3s FILE] [--version V] [--archive FILE]… [--set KEY=JSON]…`
//! VERB: `facts`, `plan`, `up`, `down`. Ends with 4 when `plan` finds something to do.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::unwrap_used
)] // for people, and it may fail loudly

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use shopctl::bootstrap::{
    BinarySource, BootstrapError, HostWork, RELEASES, Role, Survey, WantedCluster, WantedHost,
    find_archive, find_binary, plan_hosts, plan_removal,
};
use shopctl::event::{Event, Observer};
use shopctl::host::{Connecting, Connection, HostSpec, LocalHost, NoPassword, SshFolder};
use shopctl::interrupt::Interrupt;
use shopctl::journal::Journal;

struct Lines(Instant);

impl Observer for Lines {
    fn observe(&self, event: Event) {
        let at = self.0.elapsed().as_secs_f64();
        match event {
            Event::StepStarted { step } => eprintln!("{at:6.1} > {step}"),
            Event::StepProgress { step, waiting_for } => {
                eprintln!("{at:6.1}   {step}: waiting for {waiting_for}");
            }
            Event::StepDone { step, .. } => eprintln!("{at:6.1} + {step}"),
            Event::StepFailed { step, reason } => eprintln!("{at:6.1} ! {step}: {reason}"),
            Event::Note { text } => eprintln!("{at:6.1}   {text}"),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Options {
    verb: String,
    state: PathBuf,
    hosts: Vec<(String, String, Role)>,
    user: Option<String>,
    identity: Option<PathBuf>,
    k3s: Option<PathBuf>,
    version: String,
    archives: Vec<PathBuf>,
    config: BTreeMap<String, serde_json::Value>,
}

fn options() -> Options {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options {
        verb: arguments.next().expect("a verb"),
        version: "v1.34.3+k3s1".to_owned(),
        ..Options::default()
    };
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .unwrap_or_else(|| panic!("{name} needs a value"));
        let pair = |value: &str| {
            let (key, value) = value.split_once('=').expect("KEY=VALUE");
            (key.to_owned(), value.to_owned())
        };
        match name.as_str() {
            "--state" => options.state = value.into(),
            "--server" | "--agent" => {
                let role = if name == "--server" {
                    Role::Server
                } else {
                    Role::Agent
                };
                let (name, address) = pair(&value);
                options.hosts.push((name, address, role));
            }
            "--user" => options.user = Some(value),
            "--identity" => options.identity = Some(value.into()),
            "--k3s" => options.k3s = Some(value.into()),
            "--version" => options.version = value,
            "--archive" => options.archives.push(value.into()),
            "--set" => {
                let (key, value) = pair(&value);
                options
                    .config
                    .insert(key, serde_json::from_str(&value).unwrap());
            }
            other => panic!("unknown option {other}"),
        }
    }
    options
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(options()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            if let BootstrapError::Unprepared(problems) = &error {
                for problem in problems {
                    eprintln!("  - {problem}");
                }
            }
            for hint in error.hints() {
                eprintln!("  hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn wanted(options: &Options) -> Result<WantedCluster, BootstrapError> {
    let here = LocalHost::new(HostSpec::default(), &NoPassword).await?;
    let cache = Path::new(&std::env::var("HOME").unwrap()).join(".cache/shopctl/k3s");
    let variable = std::env::var_os("SHOPCTL_K3S_BINARY").map(PathBuf::from);
    let source = BinarySource {
        version: &options.version,
        file: options.k3s.as_deref(),
        variable: variable.as_deref(),
        cache: &cache,
        releases: RELEASES,
    };
    let mut cluster = WantedCluster {
        environment: "example".to_owned(),
        binary: find_binary(&source, &here).await?,
        config: options.config.clone(),
        ..WantedCluster::default()
    };
    for (name, address, role) in &options.hosts {
        cluster.hosts.push(WantedHost {
            name: name.clone(),
            client: address.clone(),
            address: None,
            role: *role,
        });
    }
    for archive in &options.archives {
        cluster.archives.push(find_archive(archive)?);
    }
    Ok(cluster)
}

async fn run(options: Options) -> Result<ExitCode, BootstrapError> {
    let lines = Lines(Instant::now());
    std::fs::create_dir_all(&options.state).unwrap();
    let journal = Journal::begin(&options.state.join("journal"), &options.verb, &lines);
    let cluster = wanted(&options).await?;
    let specs: Vec<HostSpec> = cluster
        .hosts
        .iter()
        .map(|host| HostSpec {
            name: host.name.clone(),
            address: host.client.clone(),
            user: options.user.clone(),
            identity: options.identity.clone(),
            connection: if host.client == "local" {
                Connection::Local
            } else {
                Connection::Ssh
            },
            ..HostSpec::default()
        })
        .collect();
    let folder = SshFolder::new(&options.state, &options.state.join("run"));
    let connecting = Connecting {
        folder: &folder,
        passwords: &NoPassword,
    };
    let survey = Survey::of(&specs, connecting).await;
    if options.verb == "facts" {
        println!("{:#?}", survey.found);
        return Ok(ExitCode::SUCCESS);
    }
    let kubeconfig = options.state.join("kubeconfig");
    let cluster = cluster.with_addresses(&survey.facts());
    let seen = if options.verb == "down" {
        for (name, found) in &survey.found {
            if let Err(error) = found {
                eprintln!("{name} is left out: {error}");
            }
        }
        survey.see(&cluster, &kubeconfig).await
    } else {
        survey.check(&cluster, &kubeconfig).await?
    };
    let steps = if options.verb == "down" {
        plan_removal(&cluster, &seen)
    } else {
        plan_hosts(&cluster, &seen)
    };
    for step in steps.iter().filter(|step| step.needed) {
        println!("{}: {}", step.name, step.detail);
    }
    let work = steps.iter().any(|step| step.needed);
    if options.verb == "plan" {
        return Ok(ExitCode::from(if work { 4 } else { 0 }));
    }
    let work = HostWork {
        cluster: &cluster,
        seen: &seen,
        hosts: &survey.hosts,
        kubeconfig,
        observer: &journal,
        interrupt: Interrupt::watch(),
    };
    work.carry_out(&steps).await?;
    eprintln!("{:6.1} done", lines.0.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}
