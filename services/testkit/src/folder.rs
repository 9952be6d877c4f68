//! Temporary folders that a server of another user may enter, and that go away even when the test process is killed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::process::Unprivileged;

/// Waits for the end of the test process, which closes its standard input, and removes the folder. The servers
/// in it are ending at the same moment, hence the tries.
const JANITOR: &str = r#"cat >/dev/null
for try in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$1" 2>/dev/null && exit 0
    sleep 0.2
done"#;

/// A folder that ends with its owner.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    janitor: Child,
}

impl Folder {
    /// Makes a folder with a short path: Unix sockets allow about a hundred bytes.
    pub fn new() -> Self {
        let path = tempfile::Builder::new()
            .prefix("shop-")
            .tempdir()
            .unwrap_or_else(|error| panic!("failed to make a temporary folder: {error}"))
            .keep();
        // Others may pass through, not look around.
        fs::set_permissions(&path, Permissions::from_mode(0o711)).unwrap_or_else(|error| {
            panic!(
                "failed to open {} to the servers' user: {error}",
                path.display()
            )
        });
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C goes to a terminal's whole group, and the janitor has to outlive it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("failed to start the janitor of {}: {error}", path.display())
            });
        Self { path, janitor }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only its owner can read, and returns its path.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, content)
            .unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
        fs::set_permissions(&path, Permissions::from_mode(0o600))
            .unwrap_or_else(|error| panic!("failed to protect {}: {error}", path.display()));
        path
    }

    /// Makes a folder inside that belongs to the user that servers run as.
    pub(crate) fn server_folder(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path)
            .unwrap_or_else(|error| panic!("failed to make {}: {error}", path.display()));
        Unprivileged::find().own(&path);
        fs::set_permissions(&path, Permissions::from_mode(0o700))
            .unwrap_or_else(|error| panic!("failed to protect {}: {error}", path.display()));
        path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        // It is done within moments; waiting for it leaves no zombie behind in a long test run.
        drop(self.janitor.wait());
    }
}
