//! Where the installed servers are, and what to install when they are not.

use std::env;
use std::path::{Path, PathBuf};

const OLDEST_POSTGRES: u32 = 15;

/// A program of the newest installed Postgres.
pub(crate) fn postgres(name: &str) -> PathBuf {
    let packaged = Path::new("/usr/lib/postgresql");
    let newest = packaged.read_dir().ok().and_then(|versions| {
        versions
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let version: u32 = entry.file_name().to_str()?.parse().ok()?;
                let program = entry.path().join("bin").join(name);
                (version >= OLDEST_POSTGRES && program.is_file()).then_some((version, program))
            })
            .max()
    });
    newest.map(|(_, program)| program).or_else(|| on_path(name)).unwrap_or_else(|| {
        panic!(
            "these tests need Postgres {OLDEST_POSTGRES} or newer and found no `{name}`; install it with: apt-get install postgresql"
        )
    })
}

/// The Redis server; Valkey is as good.
pub(crate) fn redis() -> PathBuf {
    on_path("redis-server").or_else(|| on_path("valkey-server")).unwrap_or_else(|| {
        panic!("these tests need Redis 7 and found no `redis-server`; install it with: apt-get install redis-server")
    })
}

/// The program that drops privileges and binds a child's life to ours.
pub(crate) fn setpriv() -> PathBuf {
    on_path("setpriv").unwrap_or_else(|| {
        panic!("these tests need `setpriv`; install it with: apt-get install util-linux")
    })
}

/// The services' binary that was built beside the running test, `target/<profile>/shopd`.
pub fn shopd() -> PathBuf {
    let test = env::current_exe()
        .unwrap_or_else(|error| panic!("failed to find the running test: {error}"));
    let built = test
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("shopd"))
        .find(|program| program.is_file());
    built.unwrap_or_else(|| {
        panic!(
            "this test runs `shopd` and found none above {}; build it with: cargo build -p shopd",
            test.display()
        )
    })
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
