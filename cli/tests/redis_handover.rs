//! What becomes of the data when the first Redis starts empty and no Sentinel is there: the rendered scripts with real
//! servers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shopctl::project::Project;
use shopctl::render::{Place, ProgramFile, RenderInput, Secret, SecretSet, render};
use shopctl::target::local::find_program;

const PASSWORD: &str = "password";
/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three Redis whose Sentinels nobody starts.
struct Trio {
    folder: tempfile::TempDir,
    ports: [u16; 3],
    servers: [Option<Child>; 3],
}

impl Trio {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = free_ports();
        write_configuration(folder.path(), base);
        Self {
            folder,
            ports: [base, base + 1, base + 2],
            servers: [None, None, None],
        }
    }

    fn start(&mut self, number: usize) {
        let config = self.instance(number).join("config/start.sh");
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.log(number))
            .unwrap();
        let server = Command::new("sh")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.servers[number] = Some(server);
    }

    fn kill(&mut self, number: usize) {
        let mut server = self.servers[number].take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    fn lose_data(&self, number: usize) {
        fs::remove_dir_all(self.instance(number).join("data")).unwrap();
    }

    fn instance(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("instances/redis-{number}"))
    }

    fn log(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("redis-{number}.log"))
    }

    fn ask(&self, number: usize, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["--no-auth-warning", "--user", "admin", "-p"])
            .arg(self.ports[number].to_string())
            .args(command)
            .env("REDISCLI_AUTH", PASSWORD)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The numbers of those that say that they are masters, with how many replicas each hears.
    fn masters(&self) -> Vec<(usize, usize)> {
        let running = (0..3).filter(|number| self.servers[*number].is_some());
        running
            .filter_map(|number| {
                let role = self.ask(number, &["ROLE"]);
                let mut lines = role.lines();
                (lines.next() == Some("master")).then(|| (number, lines.skip(1).count() / 3))
            })
            .collect()
    }

    fn until_masters_are(&self, wanted: &[(usize, usize)]) {
        self.eventually(&format!("the masters are {wanted:?}"), || {
            self.masters() == wanted
        });
    }

    fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "{what}: not so; the masters are {:?}\n{}",
                self.masters(),
                (0..3)
                    .map(|number| fs::read_to_string(self.log(number)).unwrap_or_default())
                    .collect::<String>()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All three run, the first leads, and all have a key.
    fn with_data() -> Self {
        let mut trio = Self::new();
        for number in 0..3 {
            trio.start(number);
        }
        trio.until_masters_are(&[(0, 2)]);
        assert_eq!(trio.ask(0, &["SET", "kept", "yes"]), "OK");
        assert_eq!(trio.ask(0, &["WAIT", "2", "20000"]), "2");
        trio
    }

    fn all_keep_it(&self) {
        self.eventually("all have the key", || {
            (0..3).all(|number| self.ask(number, &["GET", "kept"]) == "yes")
        });
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        for server in self.servers.iter_mut().flatten() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn free_ports() -> u16 {
    for _ in 0..200 {
        let base = rand::random_range(20_000..31_000_u16);
        if (base..base + 3).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("there are no three free ports in a row");
}

/// Renders the three instances into a folder.
fn write_configuration(folder: &Path, base: u16) {
    let loaded = Project::at("/nonexistent").load("local").unwrap();
    let mut environment = loaded.file.environment().clone();
    let redis = environment.components.get_mut("redis").unwrap();
    redis.ports.insert("redis".to_owned(), base);
    let sentinel = environment.components.get_mut("sentinel").unwrap();
    // Nobody listens there.
    sentinel.ports.insert("sentinel".to_owned(), 1);
    sentinel
        .settings
        .insert("downAfter".to_owned(), "400ms".into());
    let mut programs = BTreeMap::new();
    for component in loaded.catalogue.components() {
        for program in &component.programs {
            let path = find_program(program, None).map_or_else(
                || program.name.clone(),
                |found| found.path.to_string_lossy().into_owned(),
            );
            let fingerprint = String::new();
            programs.insert(program.name.clone(), ProgramFile { path, fingerprint });
        }
    }
    let fingerprint = String::new();
    let path = "shopd".to_owned();
    programs.insert(path.clone(), ProgramFile { path, fingerprint });
    let secrets: SecretSet = loaded
        .catalogue
        .components()
        .flat_map(|component| &component.secrets)
        .map(|secret| {
            let path = folder.join(&secret.name);
            fs::write(&path, PASSWORD).unwrap();
            // What is public of a key is rendered with the rest; nobody reads it here.
            let secret_file = Secret::new(path.to_str().unwrap(), PASSWORD).with_public("{}");
            (secret.name.clone(), secret_file)
        })
        .collect();
    let dir = folder.to_str().unwrap().to_owned();
    let instances = render(&RenderInput {
        environment: &environment,
        catalogue: &loaded.catalogue,
        place: &Place {
            state_dir: dir.clone(),
            run_dir: dir.clone(),
            secrets_dir: dir,
            listen: "127.0.0.1".to_owned(),
            networks: Vec::new(),
            programs,
        },
        secrets: &secrets,
        version: ("0.1.0", "commit"),
    })
    .unwrap();
    for instance in instances
        .iter()
        .filter(|instance| instance.component == "redis")
    {
        let config = folder.join(format!("instances/{}/config", instance.name));
        fs::create_dir_all(&config).unwrap();
        for file in &instance.files {
            fs::write(config.join(&file.path), &file.content).unwrap();
        }
    }
}

#[test]
fn a_master_that_comes_back_empty_gets_the_data_from_those_that_followed_it() {
    let mut trio = Trio::with_data();
    trio.kill(0);
    trio.lose_data(0);
    trio.start(0);
    // The furthest leads; they are equal, so it is the first of them.
    trio.eventually("one of the others leads both", || {
        matches!(trio.masters()[..], [(1 | 2, 2)])
    });
    trio.all_keep_it();
}

#[test]
fn the_only_replica_that_is_left_leads_an_empty_former_master() {
    let mut trio = Trio::with_data();
    trio.kill(1);
    trio.kill(0);
    trio.lose_data(0);
    trio.start(0);
    trio.until_masters_are(&[(2, 1)]);
    // The one that was away remembers the former master, and gets the data through it.
    trio.start(1);
    trio.all_keep_it();
    assert_eq!(trio.masters().len(), 1);
}

#[test]
fn an_empty_master_is_not_stuck_when_nobody_is_left() {
    let mut trio = Trio::with_data();
    for number in 0..3 {
        trio.kill(number);
    }
    trio.lose_data(0);
    trio.start(0);
    trio.until_masters_are(&[(0, 0)]);
}

#[test]
fn a_former_master_with_data_follows_the_one_that_leads_now() {
    let mut trio = Trio::with_data();
    trio.kill(0);
    assert_eq!(trio.ask(1, &["REPLICAOF", "NO", "ONE"]), "OK");
    let port = trio.ports[1].to_string();
    assert_eq!(trio.ask(2, &["REPLICAOF", "127.0.0.1", &port]), "OK");
    trio.until_masters_are(&[(1, 1)]);
    assert_eq!(trio.ask(1, &["SET", "after", "yes"]), "OK");
    trio.start(0);
    trio.until_masters_are(&[(1, 2)]);
    trio.eventually("it has what was written since", || {
        trio.ask(0, &["GET", "after"]) == "yes"
    });
}
