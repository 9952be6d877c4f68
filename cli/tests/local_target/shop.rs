//! A shop of a test's own: real servers on free ports, with a state folder that is gone afterwards.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

use serde_json::Value;

/// Ports in a row that a shop needs.
const PORTS: u16 = 40;

/// A shop. What it started is stopped and deleted when the test ends, however it ends.
pub(crate) struct TestShop {
    folder: tempfile::TempDir,
    base: u16,
}

/// How a run of shopctl ended.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestShop {
    /// A shop that is not up yet.
    pub(crate) fn new() -> Self {
        check_binaries();
        let folder = tempfile::tempdir().unwrap();
        // Servers run as a user of their own when the test is root: that user must be able to get here.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let shop = Self {
            folder,
            base: free_ports(),
        };
        shop.write_environment("");
        shop
    }

    /// Writes the environment file, with settings for the order service if there are any.
    pub(crate) fn write_environment(&self, order: &str) {
        let port = |offset: u16| self.base + offset;
        let text = format!(
            "name: test\n\
             components:\n  \
               postgres: {{ ports: {{ postgres: {} }} }}\n  \
               redis: {{ ports: {{ redis: {} }} }}\n  \
               sentinel: {{ ports: {{ sentinel: {} }} }}\n\
             services:\n  \
               gateway: {{ ports: {{ http: {}, admin: {} }} }}\n  \
               echo: {{ ports: {{ http: {}, admin: {} }} }}\n  \
               auth: {{ ports: {{ http: {}, admin: {} }} }}\n  \
               product: {{ ports: {{ http: {}, admin: {}, internal: {} }} }}\n  \
               order: {{ ports: {{ http: {}, admin: {} }}{order} }}\n\
             seed:\n  products:\n    \
               - {{ sku: test-mug, name: Mug, price: {{ amountMinor: 1490 }}, stock: 7 }}\n",
            port(0),
            port(1),
            port(5),
            port(10),
            port(11),
            port(14),
            port(15),
            port(16),
            port(19),
            port(22),
            port(25),
            port(28),
            port(31),
            port(34),
        );
        std::fs::write(self.environment(), text).unwrap();
    }

    /// Writes an environment of the one service that needs no other.
    pub(crate) fn write_small_environment(&self) {
        let text = format!("name: test\n{}", small_environment(self.port(14)));
        std::fs::write(self.environment(), text).unwrap();
    }

    pub(crate) fn environment(&self) -> PathBuf {
        self.folder.path().join("shop.yaml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A folder to run shopctl in; templates in it override the shipped ones.
    pub(crate) fn project(&self) -> &Path {
        self.folder.path()
    }

    /// The first port of a component, by its place in the environment file.
    pub(crate) fn port(&self, offset: u16) -> u16 {
        self.base + offset
    }

    /// Runs shopctl for this shop.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output().unwrap();
        Run::of(&output)
    }

    /// The command that runs shopctl for this shop.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shopctl"));
        command
            .current_dir(self.project())
            .env_remove("SHOPCTL_ENV")
            .env_remove("SHOPCTL_STATE_DIR")
            .args(["-e", "./shop.yaml", "--state-dir"])
            .arg(self.state())
            .args(arguments);
        command
    }

    /// Runs shopctl, which must succeed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(0), "shopctl {arguments:?}:\n{}", run.stderr);
        run
    }

    /// The instances as `status` tells them.
    pub(crate) fn instances(&self) -> Vec<Value> {
        let run = self.succeed(&["status", "-o", "json"]);
        let status: Value = serde_json::from_str(&run.stdout).unwrap();
        status["instances"].as_array().unwrap().clone()
    }

    /// The process ids of all instances of a component, or of all.
    pub(crate) fn pids(&self, component: Option<&str>) -> Vec<i64> {
        self.instances()
            .iter()
            .filter(|instance| component.is_none_or(|component| instance["component"] == component))
            .filter_map(|instance| instance["pid"].as_i64())
            .collect()
    }

    /// The value of a secret.
    pub(crate) fn secret(&self, name: &str) -> String {
        let path = self.state().join("secrets").join(name);
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// Makes the state folder as an `up` that came no further would have left it.
    pub(crate) fn begin_state(&self) {
        let marker = r#"{"environment":"test","runDir":"run"}"#;
        std::fs::create_dir_all(self.state().join("secrets")).unwrap();
        std::fs::write(self.state().join("environment.json"), marker).unwrap();
    }
}

impl Drop for TestShop {
    fn drop(&mut self) {
        // The test may have broken what says which environment it is.
        self.write_environment("");
        let _ = self
            .command(&["down", "--purge", "--yes", "--quiet"])
            .output();
    }
}

impl Run {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Fails unless the run ended with this code and said this.
    pub(crate) fn refused(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for part in said {
            assert!(
                self.stderr.contains(part),
                "{part:?} is not in:\n{}",
                self.stderr
            );
        }
    }
}

/// An environment of the one service that needs no other, on a port and the next.
pub(crate) fn small_environment(port: u16) -> String {
    let off = |names: &[&str]| {
        let lines: Vec<String> = names
            .iter()
            .map(|name| format!("  {name}: {{ enabled: false }}\n"))
            .collect();
        lines.concat()
    };
    format!(
        "components:\n{}services:\n{}  echo: {{ ports: {{ http: {port}, admin: {} }} }}\nseed: {{ products: [] }}\n",
        off(&["postgres", "redis", "sentinel"]),
        off(&["gateway", "auth", "product", "order"]),
        port + 1
    )
}

/// The shop needs `shopd` beside shopctl, of the same build; cargo makes only what a package names.
fn check_binaries() {
    static CHECK: Once = Once::new();
    CHECK.call_once(|| {
        let shopctl = Path::new(env!("CARGO_BIN_EXE_shopctl"));
        let version = |program: &Path| {
            let output = Command::new(program)
                .arg("--version")
                .output()
                .unwrap_or_else(|error| {
                    panic!(
                        "{}: {error}: run `cargo build --workspace --bins` first",
                        program.display()
                    )
                });
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.split_once(' ').unwrap().1.to_owned()
        };
        assert_eq!(
            version(shopctl),
            version(&shopctl.with_file_name("shopd")),
            "shopd is of another build: run `cargo build --workspace --bins` first"
        );
    });
}

/// The first of so many free ports in a row, below those that the system gives out by itself.
pub(crate) fn free_ports() -> u16 {
    for _ in 0..200 {
        let base = rand::random_range(20_000..31_000_u16);
        let all_free =
            (base..base + PORTS).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
        if all_free {
            return base;
        }
    }
    panic!("there are no {PORTS} free ports in a row between 20000 and 31000");
}
