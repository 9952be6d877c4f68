//! Asks processes how they are, each in the language that it speaks.
//!
//! What the answers mean for the process is decided in [`super::health`].

mod exec;
mod http;
mod postgres;
mod prober;
mod redis;

pub(super) use prober::Prober;

/// Why there is no answer, in the system's words, without the number that follows them.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    words.to_owned()
}
