//! Debian's `docker-registry` as a process of the test's own, with a folder, a port and a log of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use shopctl::environment::Registry;
use shopctl::image::{ImageName, Owner, Recipe, pack_program};
use shopctl::registry::{Access, Client, PackedImage, RegistryError};

/// `joe` with the password `hunter2`, as `htpasswd -B` writes it.
const USERS: &str = "joe:$2y$05$VIgkba2F0X8yBR/FCDNM6eJXQqE28J00dhQ2L8e9Q9ASxQ5XKaoSG\n";

/// How a registry is to be.
#[derive(Clone, Copy, Default)]
pub(crate) struct Kind {
    /// It asks for user and password.
    pub(crate) closed: bool,
    /// It speaks TLS.
    pub(crate) tls: bool,
    /// Its disk has so many KiB.
    pub(crate) room: Option<u32>,
}

/// A registry that runs. It ends when this is dropped.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    process: Child,
    port: u16,
    kind: Kind,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts one; none: there is no such program here, and the test says so.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let Some(program) = program() else {
            crate::skipped::say_skipped("there is no docker-registry here: ./shop test fetches it");
            return None;
        };
        if kind.room.is_some() && !nix::unistd::Uid::effective().is_root() {
            crate::skipped::say_skipped("to make a disk that is full takes root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("data")).unwrap();
        fs::write(path("users"), USERS).unwrap();
        write_certificates(folder.path());
        let mut config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            path("data").display()
        );
        if kind.tls {
            let (certificate, key) = (path("server.crt"), path("server.key"));
            writeln!(
                config,
                "  tls: {{ certificate: {}, key: {} }}",
                certificate.display(),
                key.display()
            )
            .unwrap();
        }
        if kind.closed {
            let users = path("users");
            writeln!(
                config,
                "auth: {{ htpasswd: {{ realm: shop, path: {} }} }}",
                users.display()
            )
            .unwrap();
        }
        fs::write(path("config.yml"), config).unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let mut command = if let Some(room) = kind.room {
            // The disk is in a mount namespace of its own, and goes with the process.
            let mut command = Command::new("unshare");
            let script = "mount -t tmpfs -o size=\"$1\" none \"$2\" && exec \"$3\" serve \"$4\"";
            command.args(["--mount", "sh", "-c", script, "sh", &format!("{room}k")]);
            command.arg(path("data")).arg(&program);
            command
        } else {
            let mut command = Command::new(&program);
            command.arg("serve");
            command
        };
        let process = command
            .arg(path("config.yml"))
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut server = Self {
            folder,
            process,
            port,
            kind,
        };
        server.wait();
        Some(server)
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the registry does not listen: {ended:?} {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A file of its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it wrote: every request has a line.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// How many requests of a method it has answered.
    pub(crate) fn requests(&self, method: &str) -> usize {
        self.log().matches(&format!("] \"{method} /v2/")).count()
    }

    /// Its folder of the image `shop/shopd`.
    pub(crate) fn stored(&self) -> PathBuf {
        self.path("data/docker/registry/v2/repositories/shop/shopd")
    }

    /// What an environment says of it, if it says it well.
    pub(crate) fn told(&self) -> Registry {
        Registry {
            address: format!("127.0.0.1:{}/shop", self.port),
            user: self.kind.closed.then(|| "joe".to_owned()),
            password_file: self.kind.closed.then(|| self.file("password", "hunter2\n")),
            ca_file: self.kind.tls.then(|| "ca.crt".to_owned()),
            plain_http: !self.kind.tls,
        }
    }

    /// Writes a file into its folder and gives its name there.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        name.to_owned()
    }

    /// Connects as an environment says.
    pub(crate) async fn open(&self, told: &Registry) -> Result<Client, RegistryError> {
        let access = Access::read(told, self.folder.path());
        let access = access.map_err(|mut errors| errors.remove(0))?;
        Client::open(access, "shopd").await
    }

    /// A small program as an image.
    pub(crate) fn image(&self) -> PackedImage {
        let archive = self.path("image.tar");
        let name: ImageName = "localhost/shopctl/shopd:1".parse().unwrap();
        let recipe = Recipe {
            name,
            user: Owner::SHOP,
            entrypoint: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
            labels: BTreeMap::new(),
        };
        let packed = pack_program(Path::new("/bin/true"), recipe, &archive).unwrap();
        let image = PackedImage::read(&archive).unwrap();
        assert_eq!(image.digest, packed.digest.to_string());
        image
    }
}

/// The program, from a package or from where `./shop test` put it.
fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([cache.join("shopctl/docker-registry/usr/bin")])
        .map(|folder| folder.join("docker-registry"))
        .find(|program| program.is_file())
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An authority with a certificate for the server, and another authority.
fn write_certificates(folder: &Path) {
    let names = || CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let authority = || {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
    };
    let write = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    write(
        "ca.crt",
        authority().self_signed(&authority_key).unwrap().pem(),
    );
    let issuer = Issuer::new(authority(), authority_key);
    write(
        "server.crt",
        names().signed_by(&key, &issuer).unwrap().pem(),
    );
    write("server.key", key.serialize_pem());
    let other = KeyPair::generate().unwrap();
    let mut parameters = authority();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "another");
    write("other.crt", parameters.self_signed(&other).unwrap().pem());
}
