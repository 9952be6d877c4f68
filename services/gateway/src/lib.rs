//! The shop's front door: takes every request, and passes on those that should be.
//!
//! A request's way, and the module that says what happens there:
//!
//! | | |
//! |---|---|
//! | `client` | a connection is accepted by a worker and stays with it |
//! | `handle` | the order of everything below |
//! | `route` | which upstream the path leads to; ambiguous paths are refused |
//! | `framing` | what could be understood in two ways is refused |
//! | `open` | whether it is for everybody, whatever token is sent |
//! | `shed` | refused at once if there is too much to do |
//! | `limit` | counted against the caller's rate |
//! | `headers` | what is taken off and put on |
//! | `forward` | sent, and perhaps sent again (`retry`) |
//! | `upstream` | to an endpoint that is well (`breaker`), by a connection that is kept |
//! | `answer` | what the gateway says when there is no answer to pass on |
//!
//! Each `worker` is a thread with a runtime, a listener (`SO_REUSEPORT`), upstream connections and circuits
//! of its own, so a request never changes threads. Shared are only the table of rates and the keys of tokens.
//!
//! Not here: any knowledge of what a request means, TLS, HTTP/2 and upgrades to other protocols.

mod address;
mod answer;
mod breaker;
mod client;
mod config;
mod counted;
mod figures;
mod forward;
mod framing;
mod gateway;
mod handle;
mod headers;
mod limit;
mod open;
mod own;
mod retry;
mod route;
mod settings;
mod shared;
mod shed;
mod upstream;
mod worker;

pub use address::NetworkError;
pub use client::ListenError;
pub use config::Config;
pub use gateway::{Gateway, GatewayError, run};
pub use route::RouteError;
pub use settings::{GatewaySettings, LimitSettings, RateSettings, SettingsError, UpstreamSettings};
