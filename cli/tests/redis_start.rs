//! How a starting Redis decides whom to follow: the rendered script with programs in the place of Redis that answer
//! what the test tells them. What real servers make of it is in the tests of the local target.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use shopctl::project::Project;
use shopctl::render::{Place, ProgramFile, RenderInput, Secret, SecretSet, render};

/// Where Redis instance `n` listens, and Sentinel `n`.
const REDIS: u16 = 16379;
const SENTINEL: u16 = 17379;

/// Answers `SENTINEL MASTER`, `ROLE`, `DBSIZE` and `REPLICAOF` from files that are named by the port; without one nobody listens there.
const CLI: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        -p) port=$2; shift 2 ;;
        -h | --user) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
[ -f "DIR/answers/$1-$port" ] || exit 1
cat "DIR/answers/$1-$port"
"#;

/// Leaves the configuration that it was started with.
const SERVER: &str = "#!/bin/sh\ncp \"$1\" DIR/started\n";

struct Instance {
    folder: tempfile::TempDir,
    ordinal: usize,
    script: String,
}

impl Instance {
    /// A Redis of three that has never run, in a shop where nobody listens yet.
    fn new(ordinal: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_str().unwrap().to_owned();
        fs::create_dir_all(folder.path().join("answers")).unwrap();
        let program = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text.replace("DIR", &dir)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let file = ProgramFile {
                path: path.to_str().unwrap().to_owned(),
                fingerprint: String::new(),
            };
            (name.to_owned(), file)
        };
        let missing = ["postgres", "initdb", "redis-sentinel", "shopd"].map(|name| {
            let file = ProgramFile {
                path: name.to_owned(),
                fingerprint: String::new(),
            };
            (name.to_owned(), file)
        });
        let programs: BTreeMap<_, _> = [program("redis-cli", CLI), program("redis-server", SERVER)]
            .into_iter()
            .chain(missing)
            .collect();
        let script = script(&dir, programs, ordinal);
        Self {
            folder,
            ordinal,
            script,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder
            .path()
            .join(format!("instances/redis-{}/data", self.ordinal))
    }

    /// What Sentinel `number` answers: the master's address by its number, whether the Sentinel has seen one alive
    /// there, and how many replicas it knows.
    fn sentinel_names(&self, number: u16, master: u16, seen: bool, replicas: usize) {
        let run_id = if seen { "0123abcd" } else { "" };
        let port = REDIS + master;
        let text = format!(
            "name\nshop\nip\n127.0.0.1\nport\n{port}\nrunid\n{run_id}\nflags\nmaster\nnum-slaves\n{replicas}\n"
        );
        self.answer("SENTINEL", SENTINEL + number, &text);
    }

    fn all_sentinels_name(&self, master: u16, seen: bool, replicas: usize) {
        for number in 0..3 {
            self.sentinel_names(number, master, seen, replicas);
        }
    }

    /// Redis `number` lives, as a replica of `master` that does not answer, with so many keys.
    fn replica_with(&self, number: u16, master: u16, keys: u32, offset: u32) {
        let port = REDIS + master;
        let role = format!("slave\n127.0.0.1\n{port}\nconnect\n{offset}\n");
        self.answer("ROLE", REDIS + number, &role);
        self.answer("DBSIZE", REDIS + number, &format!("{keys}\n"));
    }

    fn answer(&self, command: &str, port: u16, text: &str) {
        let path = self.folder.path().join(format!("answers/{command}-{port}"));
        // Whole at once: the script may be reading.
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    /// Makes it one that ran before, with data, as a master or as somebody's replica.
    fn ran_before(&self, followed: Option<u16>) {
        let aof = self.data().join("appendonlydir");
        fs::create_dir_all(&aof).unwrap();
        fs::write(aof.join("appendonly.aof.manifest"), "file a seq 1 type b\n").unwrap();
        let follow = followed.map_or(String::new(), |number| {
            format!("replicaof 127.0.0.1 {}\n", REDIS + number)
        });
        let peers = "# peers: 127.0.0.1:16379 127.0.0.1:16380 127.0.0.1:16381\n";
        fs::write(
            self.data().join("redis.conf"),
            format!("port 1\n{peers}{follow}"),
        )
        .unwrap();
    }

    fn spawn(&self) -> Child {
        let script = self.folder.path().join("start.sh");
        fs::write(&script, &self.script).unwrap();
        Command::new("sh")
            .arg(script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs the script to its end.
    fn start(&self) -> Outcome {
        self.outcome(&self.spawn().wait_with_output().unwrap())
    }

    fn outcome(&self, output: &Output) -> Outcome {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let started = fs::read_to_string(self.folder.path().join("started")).ok();
        let leader = started.map(|conf| {
            let line = conf
                .lines()
                .find_map(|line| line.strip_prefix("replicaof 127.0.0.1 "));
            line.map_or(self.ordinal, |port| {
                usize::from(port.parse::<u16>().unwrap() - REDIS)
            })
        });
        Outcome {
            code: output.status.code(),
            leader,
            said,
        }
    }
}

struct Outcome {
    code: Option<i32>,
    /// Whom it follows, by number: itself if it is the master. None if Redis was not started.
    leader: Option<usize>,
    said: String,
}

impl Outcome {
    fn follows(&self, leader: usize) {
        assert_eq!(self.leader, Some(leader), "{}", self.said);
    }
}

fn script(dir: &str, programs: BTreeMap<String, ProgramFile>, ordinal: usize) -> String {
    let loaded = Project::at("/nonexistent").load("local").unwrap();
    let mut environment = loaded.file.environment().clone();
    // Three times this is how long it waits.
    let sentinel = environment.components.get_mut("sentinel").unwrap();
    sentinel
        .settings
        .insert("downAfter".to_owned(), "200ms".into());
    let secrets: SecretSet = loaded
        .catalogue
        .components()
        .flat_map(|component| &component.secrets)
        .map(|secret| {
            let path = Path::new(dir).join(&secret.name);
            fs::write(&path, "password").unwrap();
            // What is public of a key is rendered with the rest; nobody reads it here.
            let secret_file = Secret::new(path.to_str().unwrap(), "password").with_public("{}");
            (secret.name.clone(), secret_file)
        })
        .collect();
    let place = Place {
        state_dir: dir.to_owned(),
        run_dir: dir.to_owned(),
        secrets_dir: dir.to_owned(),
        listen: "127.0.0.1".to_owned(),
        networks: Vec::new(),
        programs,
        in_pods: false,
    };
    let instances = render(&RenderInput {
        environment: &environment,
        catalogue: &loaded.catalogue,
        place: &place,
        secrets: &secrets,
        version: ("0.1.0", "commit"),
    })
    .unwrap();
    let name = format!("redis-{ordinal}");
    let instance = instances
        .iter()
        .find(|instance| instance.name == name)
        .unwrap();
    let config = Path::new(dir).join(format!("instances/{name}/config"));
    fs::create_dir_all(&config).unwrap();
    for file in &instance.files {
        fs::write(config.join(&file.path), &file.content).unwrap();
    }
    fs::read_to_string(config.join("start.sh")).unwrap()
}

#[test]
fn the_first_start_makes_the_first_instance_the_master_of_all() {
    for ordinal in 0..3 {
        let redis = Instance::new(ordinal);
        redis.all_sentinels_name(0, false, 0);
        redis.start().follows(0);
    }
}

#[test]
fn without_any_sentinel_the_first_instance_is_the_master_of_those_that_never_ran() {
    for ordinal in 0..3 {
        Instance::new(ordinal).start().follows(0);
    }
}

#[test]
fn whoever_the_sentinels_name_is_followed_whatever_one_remembers() {
    let redis = Instance::new(0);
    redis.ran_before(None);
    redis.all_sentinels_name(2, true, 2);
    redis.start().follows(2);
}

#[test]
fn a_master_that_died_keeps_still_until_the_sentinels_have_switched() {
    let redis = Instance::new(0);
    redis.ran_before(None);
    redis.all_sentinels_name(0, true, 2);
    let mut starting = redis.spawn();
    let mut said = BufReader::new(starting.stderr.take().unwrap()).lines();
    let waits = said.any(|line| line.unwrap().contains("waits for that"));
    assert!(waits, "it did not wait");
    redis.all_sentinels_name(1, true, 2);
    // Its pipe stays open, or what it says next would end it.
    let outcome = redis.outcome(&starting.wait_with_output().unwrap());
    drop(said);
    outcome.follows(1);
}

#[test]
fn a_master_that_died_is_master_again_if_the_sentinels_do_not_switch() {
    let redis = Instance::new(0);
    redis.ran_before(None);
    redis.all_sentinels_name(0, true, 2);
    let outcome = redis.start();
    outcome.follows(0);
    assert!(
        outcome.said.contains("still name this instance"),
        "{}",
        outcome.said
    );
}

#[test]
fn a_master_without_replicas_does_not_wait_for_a_switch_that_cannot_come() {
    let redis = Instance::new(0);
    redis.ran_before(None);
    redis.all_sentinels_name(0, true, 0);
    let outcome = redis.start();
    outcome.follows(0);
    assert!(!outcome.said.contains("waits"), "{}", outcome.said);
}

#[test]
fn a_shop_that_comes_up_whole_starts_its_master_at_once() {
    let redis = Instance::new(1);
    redis.ran_before(None);
    redis.all_sentinels_name(1, false, 2);
    let outcome = redis.start();
    outcome.follows(1);
    assert!(!outcome.said.contains("waits"), "{}", outcome.said);
}

#[test]
fn a_master_that_lost_its_data_is_not_started_while_its_replicas_have_some() {
    let redis = Instance::new(0);
    redis.all_sentinels_name(0, false, 2);
    redis.replica_with(2, 0, 17, 100);
    let outcome = redis.start();
    assert_eq!(
        (outcome.code, outcome.leader),
        (Some(75), None),
        "{}",
        outcome.said
    );
    assert!(outcome.said.contains("127.0.0.1:16381"), "{}", outcome.said);
}

#[test]
fn a_master_that_lost_its_data_with_everybody_else_starts_over() {
    let redis = Instance::new(0);
    redis.all_sentinels_name(0, false, 2);
    redis.replica_with(1, 0, 0, 0);
    redis.start().follows(0);
}

#[test]
fn a_master_that_lost_its_data_does_not_lead_while_a_peer_still_loads_some() {
    let redis = Instance::new(0);
    redis.replica_with(1, 0, 0, 0);
    redis.answer(
        "DBSIZE",
        REDIS + 1,
        "LOADING Redis is loading the dataset in memory\n",
    );
    let outcome = redis.start();
    assert_eq!(
        (outcome.code, outcome.leader),
        (Some(75), None),
        "{}",
        outcome.said
    );
}

#[test]
fn an_empty_first_instance_leads_if_nobody_has_data_or_nobody_answers() {
    let redis = Instance::new(0);
    redis.replica_with(1, 0, 0, 0);
    redis.replica_with(2, 0, 0, 0);
    redis.start().follows(0);
    Instance::new(0).start().follows(0);
}

#[test]
fn an_empty_instance_follows_a_master_that_a_replica_hears() {
    let redis = Instance::new(0);
    let port = REDIS + 2;
    let role = format!("slave\n127.0.0.1\n{port}\nconnected\n7\n");
    redis.answer("ROLE", REDIS + 1, &role);
    redis.answer("DBSIZE", REDIS + 1, "3\n");
    redis.start().follows(2);
}

#[test]
fn one_that_remembers_being_master_follows_one_that_others_follow_now_and_no_other() {
    let redis = Instance::new(0);
    redis.ran_before(None);
    redis.answer("ROLE", REDIS + 1, "master\n50\n127.0.0.1\n16381\n49\n");
    redis.answer("DBSIZE", REDIS + 1, "3\n");
    redis.start().follows(1);
    // A master without a replica may have missed a switch itself.
    let redis = Instance::new(0);
    redis.ran_before(None);
    redis.answer("ROLE", REDIS + 1, "master\n50\n");
    redis.answer("DBSIZE", REDIS + 1, "3\n");
    redis.start().follows(0);
}

#[test]
fn without_any_sentinel_each_goes_on_as_it_was() {
    let replica = Instance::new(0);
    replica.ran_before(Some(2));
    replica.start().follows(2);
    let master = Instance::new(2);
    master.ran_before(None);
    master.start().follows(2);
}

#[test]
fn a_minority_of_the_sentinels_decides_nothing() {
    let redis = Instance::new(0);
    redis.ran_before(Some(1));
    redis.sentinel_names(0, 2, true, 2);
    let outcome = redis.start();
    outcome.follows(1);
    assert!(outcome.said.contains("no quorum"), "{}", outcome.said);
}

#[test]
fn sentinels_that_disagree_are_followed_once_most_of_them_agree() {
    let redis = Instance::new(0);
    redis.ran_before(Some(1));
    redis.sentinel_names(0, 1, true, 2);
    redis.sentinel_names(1, 2, true, 2);
    redis.sentinel_names(2, 2, true, 2);
    redis.start().follows(2);
}

#[test]
fn an_address_from_before_the_ports_were_changed_means_the_instance_of_the_same_number() {
    let redis = Instance::new(0);
    redis.ran_before(Some(1));
    let conf = redis.data().join("redis.conf");
    let before = fs::read_to_string(&conf)
        .unwrap()
        .replace("1638", "2638")
        .replace("16379", "26379");
    fs::write(&conf, before).unwrap();
    // The Sentinels still name the old address of the third.
    for number in 0..3 {
        redis.sentinel_names(number, 26381 - REDIS, true, 2);
    }
    redis.start().follows(2);
}
