//! Which services have queries, and who owns their schemas.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
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

    /// Makes cargo compile the crate anew.
    pub(crate) fn touch(&self, workspace: &Path) -> anyhow::Result<()> {
        let path = workspace.join(self.folder).join("src/lib.rs");
        File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .with_context(|| format!("failed to touch {}", path.display()))
    }
}
