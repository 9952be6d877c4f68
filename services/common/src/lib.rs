//! What every service of the shop shares, so that a service's own crate holds its own subject only.
//!
//! | module | for |
//! |---|---|
//! | [`config`] | typed sections of a service's TOML file; secrets as paths of files |
//! | [`causes`] | an error and its causes in one line |
//! | [`context`] | request id and trace of the request at hand |
//! | [`telemetry`] | JSON logs, metrics, and the layer that observes requests |
//! | [`problem`] | RFC 9457 answers, and how errors of the database become them |
//! | [`extract`] | axum's extractors with problems as their rejections |
//! | [`auth`] | who calls: access tokens verified against auth's published keys |
//! | [`health`] | the admin router: alive, ready, metrics |
//! | `silence` | how long the other end of a connection may be silent |
//! | [`segment`] | names that can stand in a path, and the tag of a test |
//! | [`server`] | listening, draining, ending |
//! | [`tasks`] | work that outlives the client that asked for it |
//! | [`postgres`] | a lazily connecting pool that migrates as soon as it can |
//! | [`redis`] | a client that follows the Sentinels and never holds a request up |
//! | [`provision`] | database, roles and schemas, before any service starts |
//!
//! Not here: anything about accounts, products or orders, and the command line (`shopd`).

pub mod auth;
pub mod causes;
pub mod config;
pub mod context;
pub mod extract;
pub mod health;
mod logins;
mod misfit;
pub mod openapi;
pub mod postgres;
pub mod problem;
pub mod provision;
pub mod redis;
pub mod segment;
pub mod server;
mod silence;
pub mod tasks;
pub mod telemetry;
