//! What becomes of the data when a Redis starts empty and no Sentinel is there, or Sentinels that know nothing: the
//! rendered scripts with real servers.

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

/// Three Redis, and their Sentinels for those who start them.
struct Trio {
    folder: tempfile::TempDir,
    ports: [u16; 3],
    servers: [Option<Child>; 3],
    sentinels: Vec<Child>,
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
            sentinels: Vec::new(),
        }
    }

    fn start(&mut self, number: usize) {
        self.servers[number] = Some(self.run(&format!("redis-{number}")));
    }

    /// All three Sentinels, which have never run.
    fn start_sentinels(&mut self) {
        self.sentinels = (0..3)
            .map(|number| self.run(&format!("sentinel-{number}")))
            .collect();
    }

    fn run(&self, instance: &str) -> Child {
        let folder = self.folder.path();
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(folder.join(format!("{instance}.log")))
            .unwrap();
        Command::new("sh")
            .arg(folder.join(format!("instances/{instance}/config/start.sh")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// What of the master every Sentinel says: its port, and how many replicas it has.
    fn sentinels_name(&self) -> Vec<(u16, usize)> {
        (0..3)
            .map(|number| {
                let answer = ask(self.ports[0] + 3 + number, &["SENTINEL", "MASTER", "shop"]);
                let field = |name: &str| {
                    let mut lines = answer.lines().skip_while(|line| *line != name);
                    lines.nth(1).and_then(|text| text.parse::<u16>().ok())
                };
                let replicas = field("num-slaves").map_or(0, usize::from);
                (field("port").unwrap_or(0), replicas)
            })
            .collect()
    }

    /// The shop has one writable master with two replicas, all Sentinels name it, and nothing is lost.
    fn is_whole_again(&self) {
        self.eventually("one master leads two, and all Sentinels know them", || {
            let masters = self.masters();
            let [(master, 2)] = masters[..] else {
                return false;
            };
            self.sentinels_name() == [(self.ports[master], 2); 3]
        });
        self.all_keep_it();
        let (master, _) = self.masters()[0];
        self.eventually("it takes writes", || {
            self.ask(master, &["SET", "again", "yes"]) == "OK"
        });
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

    fn logs(&self) -> String {
        ["redis", "sentinel"]
            .iter()
            .flat_map(|component| (0..3).map(move |number| format!("{component}-{number}")))
            .map(|name| {
                let path = self.folder.path().join(format!("{name}.log"));
                let text = fs::read_to_string(path).unwrap_or_default();
                format!("--- {name}\n{text}")
            })
            .collect::<Vec<_>>()
            .concat()
    }

    fn ask(&self, number: usize, command: &[&str]) -> String {
        ask(self.ports[number], command)
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
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All three run, the first leads, and all have a key, on disk too.
    fn with_data() -> Self {
        let mut trio = Self::new();
        for number in 0..3 {
            trio.start(number);
        }
        trio.until_masters_are(&[(0, 2)]);
        assert_eq!(trio.ask(0, &["SET", "kept", "yes"]), "OK");
        assert_eq!(trio.ask(0, &["WAIT", "2", "20000"]), "2");
        trio.eventually("all have it on disk", || {
            (0..3).all(|number| trio.has_written_its_file(number))
        });
        trio
    }

    /// After a full synchronization a replica rewrites its append-only file; killed before that is done it loses what it
    /// was sent since.
    fn has_written_its_file(&self, number: usize) -> bool {
        let persistence = self.ask(number, &["INFO", "persistence"]);
        let says = |line: &str| persistence.lines().any(|one| one.trim() == line);
        says("aof_rewrite_in_progress:0") && says("aof_rewrite_scheduled:0")
    }

    fn all_keep_it(&self) {
        self.eventually("all have the key", || {
            (0..3).all(|number| self.ask(number, &["GET", "kept"]) == "yes")
        });
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        let servers = self.servers.iter_mut().flatten();
        for server in servers.chain(&mut self.sentinels) {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// What the server at a port answers to its administrator.
fn ask(port: u16, command: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["--no-auth-warning", "--user", "admin", "-p"])
        .arg(port.to_string())
        .args(command)
        .env("REDISCLI_AUTH", PASSWORD)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Three for the Redis, three for the Sentinels.
fn free_ports() -> u16 {
    for _ in 0..200 {
        let base = rand::random_range(20_000..31_000_u16);
        if (base..base + 6).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("there are no six free ports in a row");
}

/// Renders the instances into a folder.
fn write_configuration(folder: &Path, base: u16) {
    let loaded = Project::at("/nonexistent").load("local").unwrap();
    let mut environment = loaded.file.environment().clone();
    let redis = environment.components.get_mut("redis").unwrap();
    redis.ports.insert("redis".to_owned(), base);
    let sentinel = environment.components.get_mut("sentinel").unwrap();
    sentinel.ports.insert("sentinel".to_owned(), base + 3);
    // Three times this is the patience of a start, and one call of another server may take a second.
    sentinel
        .settings
        .insert("downAfter".to_owned(), "2s".into());
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
            in_pods: false,
        },
        secrets: &secrets,
        version: ("0.1.0", "commit"),
    })
    .unwrap();
    for instance in instances
        .iter()
        .filter(|instance| ["redis", "sentinel"].contains(&instance.component.as_str()))
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
    trio.all_keep_it();
    trio.until_masters_are(&[(0, 2)]);
}

#[test]
fn an_empty_former_master_gets_the_data_from_the_only_replica_that_is_left() {
    let mut trio = Trio::with_data();
    trio.kill(1);
    trio.kill(0);
    trio.lose_data(0);
    trio.start(0);
    trio.until_masters_are(&[(0, 1)]);
    trio.start(1);
    trio.all_keep_it();
    trio.until_masters_are(&[(0, 2)]);
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

#[test]
fn sentinels_that_know_nothing_and_an_empty_first_instance_cost_no_data() {
    let mut trio = Trio::with_data();
    for number in 0..3 {
        trio.kill(number);
    }
    trio.lose_data(0);
    // They find nobody, so they name the first instance.
    trio.start_sentinels();
    let first = trio.ports[0];
    trio.eventually("the Sentinels name the first", || {
        trio.sentinels_name() == [(first, 0); 3]
    });
    for number in [1, 2, 0] {
        trio.start(number);
    }
    trio.is_whole_again();
}

#[test]
fn sentinels_that_know_nothing_wait_for_the_master_that_replicas_are_waiting_for() {
    let mut trio = Trio::with_data();
    // The second leads, and all remember that.
    assert_eq!(trio.ask(1, &["REPLICAOF", "NO", "ONE"]), "OK");
    let port = trio.ports[1].to_string();
    for number in [0, 2] {
        let followed = trio.ask(number, &["REPLICAOF", "127.0.0.1", &port]);
        assert_eq!(followed, "OK");
    }
    trio.until_masters_are(&[(1, 2)]);
    for number in 0..3 {
        assert_eq!(trio.ask(number, &["CONFIG", "REWRITE"]), "OK");
        trio.kill(number);
    }
    trio.lose_data(1);
    for number in [0, 2] {
        trio.start(number);
        trio.eventually("it answers", || {
            trio.ask(number, &["ROLE"]).starts_with("slave")
        });
    }
    trio.start_sentinels();
    trio.start(1);
    trio.is_whole_again();
}

#[test]
fn two_that_would_follow_each_other_end_as_the_sentinels_say() {
    let mut trio = Trio::with_data();
    trio.kill(1);
    trio.kill(2);
    // The first is a replica of the second, but the Sentinels found nobody and name the first.
    trio.kill(0);
    trio.start_sentinels();
    let first = trio.ports[0];
    trio.eventually("the Sentinels name the first", || {
        trio.sentinels_name() == [(first, 0); 3]
    });
    trio.start(0);
    trio.until_masters_are(&[(0, 0)]);
    let port = trio.ports[1].to_string();
    assert_eq!(trio.ask(0, &["REPLICAOF", "127.0.0.1", &port]), "OK");
    trio.start(1);
    trio.start(2);
    trio.is_whole_again();
}
