//! Targets: what carries a plan out where the shop runs.
//!
//! There is one so far, this machine. Not here: deciding what is needed (`plan`) and what the files say (`render`).

pub mod local;
