//! Regenerates `.sqlx/`, against which the services' queries are checked when no database is at hand.
//!
//! Starts a Postgres of its own, applies the migrations of every service, and has the compiler describe every query
//! there. With `--check` it changes nothing and says what is stale (exit 1). It depends on no service's crate: those
//! need not compile before their queries are prepared.

mod folder;
mod services;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use shop_testkit::{Durability, Folder, Postgres, Role};
use sqlx::migrate::Migrator;

use crate::folder::{Queries, Staleness};
use crate::services::Service;

const USAGE: &str = "usage: prepare-queries [--check]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let check = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!(USAGE),
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("failed to find the workspace above this crate")?;
    let services = Service::with_migrations(workspace);
    ensure!(
        !services.is_empty(),
        "failed to find a service with migrations below {}",
        workspace.display()
    );

    let described = Folder::new();
    describe(workspace, &services, described.path()).await?;
    let fresh = Queries::read(described.path())?;
    let kept = workspace.join(".sqlx");
    let staleness = Staleness::between(&Queries::read(&kept)?, &fresh);
    for line in staleness.lines() {
        say(&line);
    }
    if staleness.is_none() {
        say(&format!("{} queries, all current", fresh.count()));
    } else if check {
        say("the queries are stale; regenerate them with: cargo run -p prepare-queries");
        return Ok(ExitCode::FAILURE);
    } else {
        fresh.write(&kept)?;
        say(&format!(
            "{} queries written to {}",
            fresh.count(),
            kept.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Has every query described by a database that has all migrations, into `target`.
async fn describe(workspace: &Path, services: &[Service], target: &Path) -> anyhow::Result<()> {
    let server = Postgres::start(Durability::Off);
    let database = server.database().await;
    for service in services {
        let pool = database.pool(service.role, 1).await;
        let migrations = Migrator::new(service.migrations(workspace)).await;
        migrations
            .with_context(|| format!("failed to read the migrations of {}", service.package))?
            .run(&pool)
            .await
            .with_context(|| format!("failed to migrate for {}", service.package))?;
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg("check").args(["--quiet", "--lib"]);
    let mut dates = Vec::new();
    for service in services {
        cargo.args(["--package", service.package]);
        // The macros run only when the crate is compiled, and cargo does not know that they read a database.
        dates.push((service, service.date(workspace, SystemTime::now())?));
    }
    let status = cargo
        .current_dir(workspace)
        .env("DATABASE_URL", database.url(Role::Superuser))
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", target)
        .stdin(Stdio::null())
        .status()
        .context("failed to run cargo")?;
    // What is built stays as good as it was.
    for (service, date) in dates {
        service.date(workspace, date)?;
    }
    ensure!(
        status.success(),
        "failed to check the services against the database"
    );
    Ok(())
}

#[allow(
    clippy::print_stderr,
    reason = "this is a command of the developers, and says what it did"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
