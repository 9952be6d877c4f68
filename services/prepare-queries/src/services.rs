//! Which services have queries, and who owns their schemas.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use shop_testkit::Role;

/// A service with a schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    pub(crate) package: &'static str,
    pub(crate) role: Role,
    folder: &'static str,
}

/// In the order in which the migrations apply: orders stand on product's functions.
const SERVICES: [Service; 3] = [
    Service {
        package: "shop-auth",
        role: Role::Auth,
        folder: "services/auth",
    },
    Service {
        package: "shop-product",
        role: Role::Product,
        folder: "services/product",
    },
    Service {
        package: "shop-order",
        role: Role::Order,
        folder: "services/order",
    },
];

impl Service {
    /// The services that have migrations; without any there is nothing to query.
    pub(crate) fn with_migrations(workspace: &Path) -> Vec<Self> {
        SERVICES
            .into_iter()
            .filter(|service| service.migrations(workspace).is_dir())
            .collect()
    }

    pub(crate) fn migrations(&self, workspace: &Path) -> PathBuf {
        workspace.join(self.folder).join("migrations")
    }

    /// Dates the crate's root, and gives back its date until now. A new date makes cargo compile the crate anew.
    pub(crate) fn date(&self, workspace: &Path, date: SystemTime) -> anyhow::Result<SystemTime> {
        let path = workspace.join(self.folder).join("src/lib.rs");
        let redate = || {
            let file = File::options().append(true).open(&path)?;
            let before = file.metadata()?.modified()?;
            file.set_modified(date)?;
            Ok(before)
        };
        redate().map_err(|error: std::io::Error| {
            anyhow::Error::new(error).context(format!("failed to date {}", path.display()))
        })
    }
}
