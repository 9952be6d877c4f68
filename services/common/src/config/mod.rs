//! A service's TOML file: loading it with errors that name file, line and key, and the sections that services share.
//!
//! A service's own `Config` is one struct of sections. Unknown fields are refused, secrets are paths of files.
//! Not here: a service's own settings, and rendering the file (`shopctl` does that from `templates/`).

mod load;
mod secret;
mod sections;

pub use load::{ConfigError, load, parse};
pub use secret::{Secret, SecretFile};
pub use sections::{HttpConfig, Instance, LogConfig, PostgresConfig, RedisConfig, TokenConfig};
