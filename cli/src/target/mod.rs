//! Targets: what carries a plan out where the shop runs.
//!
//! There are two: this machine (`local`) and a cluster (`k3s`). Not here: deciding what is needed (`plan`) and what the files say (`render`).

pub mod k3s;
pub mod local;
mod secrets;
