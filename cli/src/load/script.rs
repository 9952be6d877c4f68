//! The script that k6 runs: templates filled in for a plan, and a file with the customers' secrets beside them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::error::LoadError;
use super::plan::{GRACE, LoadPlan, PATIENCE};
use super::stage::Stage;
use crate::catalogue::Templates;
use crate::environment::LoadKind;
use crate::render::render_text;
use crate::shop::test_data::Account;

/// The component whose templates the scripts are.
pub(super) const COMPONENT: &str = "loadtest";
/// What all scripts share.
const SHARED: &str = "shop.js";
/// The customers' secrets.
pub(super) const DATA: &str = "data.json";

/// What templates see.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScriptContext<'a> {
    profile: &'a str,
    vus: u32,
    login_vus: u32,
    logins_per_second: u32,
    seconds: f64,
    grace_seconds: u64,
    patience_seconds: u64,
    opening_seconds: f64,
    think_seconds: f64,
    rate: Option<u32>,
    stock: u32,
}

/// What scripts find in `data.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    products: &'a [Uuid],
    catalogue: &'a [Uuid],
    tokens: &'a [String],
    accounts: &'a [Account],
}

/// A script as k6 gets it.
pub(super) struct Script {
    /// Its file.
    pub(super) path: PathBuf,
    /// The SHA-256 of it and of what it shares with others, in hexadecimal.
    pub(super) sha256: String,
}

/// Writes what k6 reads into a folder, as it will be once everything is made: with as many products, customers and
/// accounts, none of which exist.
pub(super) fn rehearse(
    plan: &LoadPlan,
    templates: &Templates,
    folder: &Path,
) -> Result<Script, LoadError> {
    write(plan, &Stage::imagined(plan), templates, folder)
}

/// Writes what k6 reads into a folder.
pub(super) fn write(
    plan: &LoadPlan,
    stage: &Stage,
    templates: &Templates,
    folder: &Path,
) -> Result<Script, LoadError> {
    let data = Data {
        products: &stage.products,
        catalogue: &stage.catalogue,
        tokens: &stage.tokens,
        accounts: &stage.accounts,
    };
    let text = serde_json::to_string(&data).unwrap_or_default();
    write_private(&folder.join(DATA), &text)?;
    if let Some(script) = &plan.script {
        let text = fs::read(script).map_err(LoadError::file("read", script))?;
        return Ok(Script {
            path: fs::canonicalize(script).map_err(LoadError::file("find", script))?,
            sha256: hex::encode(Sha256::digest(text)),
        });
    }
    let profile = &plan.profile;
    let context = ScriptContext {
        profile: &plan.name,
        vus: profile.vus,
        login_vus: plan.login_vus(),
        logins_per_second: profile.logins_per_second,
        seconds: profile.duration.seconds(),
        grace_seconds: GRACE.as_secs(),
        patience_seconds: PATIENCE.as_secs(),
        opening_seconds: plan.opening().as_secs_f64(),
        think_seconds: profile.think_time.seconds(),
        rate: profile.rate.filter(|_| profile.kind == LoadKind::Open),
        stock: profile.stock,
    };
    let main = match profile.kind {
        LoadKind::Browse | LoadKind::Soak | LoadKind::Open => "browse.js",
        LoadKind::FlashSale => "flash-sale.js",
        LoadKind::Null => "null.js",
    };
    let mut digest = Sha256::new();
    for name in [SHARED, main] {
        let text = render_text(
            templates,
            COMPONENT,
            &format!("{COMPONENT}/{name}.j2"),
            &context,
        )
        .map_err(LoadError::Script)?;
        digest.update(&text);
        write_private(&folder.join(name), &text)?;
    }
    Ok(Script {
        path: folder.join(main),
        sha256: hex::encode(digest.finalize()),
    })
}

fn write_private(path: &Path, text: &str) -> Result<(), LoadError> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(LoadError::file("write", path))
}
