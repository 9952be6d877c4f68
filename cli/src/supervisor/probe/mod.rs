//! Asks processes how they are, each in the language that it speaks.
//!
//! What the answers mean for the process is decided in [`super::health`].

mod exec;
mod http;
mod postgres;
mod prober;
mod redis;

pub(super) use prober::Prober;
