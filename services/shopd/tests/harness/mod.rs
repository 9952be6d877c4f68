//! The shop's services as processes of the real binary, on real servers, each on ports of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::Client;
use serde_json::Value;
use shop_testkit::{
    Database, Launch, Postgres, Process, RedisUser, Role, Sentinels, eventually, free_port,
};
use shop_token::{Issuer, SigningKey};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A loaded machine may take its time to start processes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The services, and what they run on.
pub(crate) struct Shop {
    pub(crate) services: Vec<Service>,
    pub(crate) issuer: Issuer,
    pub(crate) runtime: Runtime,
    pub(crate) client: Client,
    folder: TempDir,
    _database: Database<'static>,
    _sentinels: Sentinels,
}

/// One process.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) admin_url: String,
    pub(crate) log: PathBuf,
}

impl Shop {
    /// Starts every service and waits until all are ready.
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(Postgres::shared().database());
        let sentinels = Sentinels::start();
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate();
        let secret = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let key_file = secret("auth.pem", &key.to_pem().unwrap());
        let token_file = secret("internal.token", "only between services\n");
        let admin_file = secret("admin.password", "correct horse battery\n");
        let issuer = Issuer::new(&key, "shop-auth", "shop");

        let postgres = |role| database.config_section(role, 4);
        let ports: BTreeMap<&str, u16> = ["auth", "echo", "product", "order", "gateway"]
            .map(|name| (name, free_port()))
            .into();
        let tokens = format!(
            "[tokens]\njwksUrls = ['http://127.0.0.1:{}/.well-known/jwks.json']\n",
            ports["auth"]
        );
        let upstream = |name| {
            format!(
                "[upstreams.{name}]\nendpoints = ['127.0.0.1:{}']\n",
                ports[name]
            )
        };
        let sections = [
            (
                "auth",
                postgres(Role::Auth)
                    + &format!("[signing]\nkeyFile = '{key_file}'\n")
                    + &format!(
                        "[admin]\nemail = 'admin@shop.test'\npasswordFile = '{admin_file}'\n"
                    ),
            ),
            ("echo", String::new()),
            (
                "product",
                tokens.clone()
                    + &postgres(Role::Product)
                    + &format!("[internal]\nlisten = '127.0.0.1:{}'\n", free_port())
                    + &format!("tokenFile = '{token_file}'\n"),
            ),
            (
                "order",
                tokens.clone()
                    + &postgres(Role::Order)
                    + &sentinels.config_section(RedisUser::Order),
            ),
            (
                "gateway",
                tokens
                    + &sentinels.config_section(RedisUser::Gateway)
                    + &["auth", "echo", "product", "order"].map(upstream).concat(),
            ),
        ];
        let services = sections
            .into_iter()
            .map(|(name, text)| Service::start(folder.path(), name, ports[name], &text))
            .collect();
        let shop = Self {
            services,
            issuer,
            runtime,
            client: Client::new(),
            folder,
            _database: database,
            _sentinels: sentinels,
        };
        for service in &shop.services {
            shop.ready(service);
        }
        shop
    }

    fn ready(&self, service: &Service) {
        let waited_for = format!("{} to be ready", service.name);
        self.runtime
            .block_on(eventually(&waited_for, PATIENCE, async || {
                let url = format!("{}/readyz", service.admin_url);
                let answer = self
                    .client
                    .get(url)
                    .send()
                    .await
                    .map_err(|error| error.to_string())?;
                if answer.status().is_success() {
                    return Ok(());
                }
                Err(answer.text().await.unwrap_or_default())
            }));
    }

    pub(crate) fn service(&self, name: &str) -> &Service {
        self.services
            .iter()
            .find(|service| service.name == name)
            .unwrap()
    }

    /// The body of an answer, whatever its status.
    pub(crate) fn text(&self, url: &str) -> String {
        self.runtime
            .block_on(async { self.client.get(url).send().await?.text().await })
            .unwrap()
    }

    /// The JSON body of an answer, whatever its status.
    pub(crate) fn json(&self, url: &str) -> Value {
        let text = self.text(url);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{url}: {error}: {text}"))
    }

    /// The secrets that no log may hold.
    pub(crate) fn secrets(&self) -> Vec<String> {
        ["internal.token", "admin.password"]
            .iter()
            .map(|name| {
                std::fs::read_to_string(self.folder.path().join(name))
                    .unwrap()
                    .trim()
                    .to_owned()
            })
            .collect()
    }
}

impl Service {
    fn start(folder: &Path, name: &'static str, port: u16, sections: &str) -> Self {
        let admin_port = free_port();
        let text = format!(
            "instance = '{name}-0'\n[log]\nlevel = 'debug'\n[http]\nlisten = '127.0.0.1:{port}'\n\
             adminListen = '127.0.0.1:{admin_port}'\nworkers = 2\ndrainSeconds = 5\n{sections}"
        );
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, text).unwrap();
        let log = folder.join(format!("{name}.log"));
        let process = Process::spawn(Launch {
            name: format!("{name}-0"),
            argv: vec![
                env!("CARGO_BIN_EXE_shopd").to_owned(),
                name.to_owned(),
                "--config".to_owned(),
                file.display().to_string(),
            ],
            // As the templates of the components have it.
            environment: vec![("MALLOC_ARENA_MAX".to_owned(), "2".to_owned())],
            log: log.clone(),
            unprivileged: false,
            on_orphaned: Signal::SIGKILL,
        });
        Self {
            name,
            process,
            url: format!("http://127.0.0.1:{port}"),
            admin_url: format!("http://127.0.0.1:{admin_port}"),
            log,
        }
    }

    /// What the process has logged, a line a value.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        std::fs::read_to_string(&self.log)
            .unwrap()
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    /// Resident memory in bytes: its own, and that of files, which replicas share.
    pub(crate) fn resident(&self) -> (u64, u64) {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kilobytes * 1024
        };
        (of("RssAnon:"), of("RssFile:"))
    }
}
