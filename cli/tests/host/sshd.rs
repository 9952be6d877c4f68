//! An sshd on loopback, with its own configuration, host key and port.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shopctl::host::{HostError, HostSpec, NoPassword, SshFolder, SshHost, SudoPasswords};
use tempfile::TempDir;

use crate::skipped::say_skipped;

/// A folder of a test, and the sshd that runs in it.
pub(crate) struct Sshd {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether real logins can be tried here; otherwise says what is missing.
fn can_run() -> bool {
    if !nix::unistd::Uid::effective().is_root() {
        say_skipped("an sshd that lets others in needs root");
        return false;
    }
    for (program, package) in [
        ("/usr/sbin/sshd", "openssh-server"),
        ("/usr/bin/ssh", "openssh-client"),
    ] {
        if !Path::new(program).exists() {
            say_skipped(&format!(
                "{program} is missing: `apt-get install {package}`"
            ));
            return false;
        }
    }
    true
}

impl Sshd {
    /// Starts one; `None`: it cannot be run here, which was said.
    pub(crate) fn start() -> Option<Self> {
        if !can_run() {
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("shopctl-ssh-")
            .tempdir()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut sshd = Self {
            folder,
            port,
            child: None,
        };
        sshd.make_key("user");
        sshd.make_key("host");
        fs::copy(sshd.path("user.pub"), sshd.path("authorized_keys")).unwrap();
        fs::write(sshd.path("ssh_config"), "").unwrap();
        sshd.run();
        Some(sshd)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A key pair; one that is there is replaced.
    pub(crate) fn make_key(&self, name: &str) {
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        let status = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// The fingerprint of a key pair.
    pub(crate) fn fingerprint(&self, name: &str) -> String {
        let output = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(self.path(&format!("{name}.pub")))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// Starts the process, with the keys that are in the folder.
    pub(crate) fn run(&mut self) {
        fs::create_dir_all("/run/sshd").unwrap();
        let folder = self.folder.path().display();
        // The keys are under /tmp, where sshd would not look at them otherwise.
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel ERROR\n",
            self.port
        );
        fs::write(self.path("sshd_config"), config).unwrap();
        fs::set_permissions(self.path("host"), fs::Permissions::from_mode(0o600)).unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(self.path("sshd_config"))
            .stdin(Stdio::null())
            .stderr(fs::File::create(self.path("sshd.log")).unwrap())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = fs::read_to_string(self.path("sshd.log")).unwrap();
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "sshd does not listen: {log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the process that listens. Sessions go on.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills every session, as a cable that is cut does.
    pub(crate) fn cut(&self) -> usize {
        let own = self.child.as_ref().unwrap().id();
        let mut killed = 0;
        for pid in children_of(own) {
            for inner in children_of(pid) {
                kill(inner);
            }
            kill(pid);
            killed += 1;
        }
        killed
    }

    pub(crate) fn spec(&self) -> HostSpec {
        HostSpec {
            name: "server-1".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: Some(self.port),
            user: Some("root".to_owned()),
            identity: Some(self.path("user")),
            config_file: Some(self.path("ssh_config")),
            ..HostSpec::default()
        }
    }

    pub(crate) fn ssh_folder(&self) -> SshFolder {
        SshFolder::new(&self.path("state"), &self.path("run"))
    }

    pub(crate) async fn connect(&self, spec: HostSpec) -> Result<SshHost, HostError> {
        self.connect_with(spec, &NoPassword).await
    }

    pub(crate) async fn connect_with(
        &self,
        spec: HostSpec,
        passwords: &dyn SudoPasswords,
    ) -> Result<SshHost, HostError> {
        SshHost::connect(spec, &self.ssh_folder(), passwords).await
    }
}

fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
}

/// The processes that a process started.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after = stat.rsplit(") ").next().unwrap_or_default();
            after.split_whitespace().nth(1) == Some(parent.to_string().as_str())
        })
        .collect()
}

/// An account of this machine for one test, taken away afterwards.
pub(crate) struct Account {
    pub(crate) name: String,
}

impl Account {
    /// Makes one; its password is `right`, and it may log in with the test's key.
    pub(crate) fn make() -> Self {
        let name = format!("shopt{}", std::process::id() % 100_000);
        let made = Command::new("useradd")
            .args([
                "--no-create-home",
                "--shell",
                "/bin/sh",
                "--home-dir",
                "/nonexistent",
                &name,
            ])
            .status()
            .unwrap();
        assert!(made.success(), "useradd failed");
        let mut passwd = Command::new("chpasswd")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = passwd.stdin.take().unwrap();
        writeln!(stdin, "{name}:right").unwrap();
        drop(stdin);
        assert!(passwd.wait().unwrap().success(), "chpasswd failed");
        Self { name }
    }

    /// Gives it rights in sudoers; gone with the account.
    pub(crate) fn sudoers(&self, rights: &str) {
        let path = self.sudoers_file();
        fs::write(&path, format!("{} ALL=(ALL:ALL) {rights}\n", self.name)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    }

    fn sudoers_file(&self) -> PathBuf {
        Path::new("/etc/sudoers.d").join(&self.name)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.sudoers_file());
        // A session of the account may take a moment to end.
        let _ = Command::new("userdel")
            .args(["--force", &self.name])
            .stderr(Stdio::null())
            .status();
    }
}
