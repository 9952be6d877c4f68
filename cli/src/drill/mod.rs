//! Breaks the running shop on purpose and computes from a recorded history what held.
//!
//! | file | holds |
//! |---|---|
//! | `history` | everything that a drill writes down, a record a line; nothing is judged that does not stand there |
//! | `check` | what must be true of a history: pure, and the same for a drill, its report and `report verify` |
//! | `scenario` | what can be broken, what is expected then, and what the run is held to |
//! | `judge` | a run's verdict |
//! | `measure` | the four times, the gaps, what failed: computed from the history alone |
//! | `report` | what runs have shown, and what the runs of a scenario have in common |
//! | `compare` | what two reports differ in, and what of it is more than chance |
//! | `series`, `run`, `steady` | drills in turn; one from its beginning to its end; all well before and after |
//! | `ready`, `progress` | waiting until the shop is whole; a run while it goes on |
//! | `ground` | where a drill takes place, this machine or a cluster: who runs there, who can be broken |
//! | `strike`, `stale_lock` | who is broken and what undoes it; a lock holder that hangs and comes back too late |
//! | `stage`, `recorder`, `answer`, `journal` | customers who note everything, and where they note it |
//! | `watch`, `account`, `ending` | what changes meanwhile; the books at the end; how the shop was left |
//! | `heal` | undoes what a killed drill left |
//!
//! Not here: load (`load`), pages and files of a report (`report`), how a process is broken (`target`).

mod account;
mod answer;
pub mod check;
pub mod compare;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod controls_lock;
mod draw;
mod ending;
mod error;
pub mod ground;
mod heal;
pub mod history;
mod journal;
pub mod judge;
pub mod measure;
mod progress;
mod ready;
mod recorder;
pub mod report;
mod run;
#[cfg(test)]
mod sample;
pub mod scenario;
mod series;
mod stage;
mod stale_lock;
mod steady;
mod strike;
mod watch;

pub use error::DrillError;
pub use heal::{Healed, heal};
pub use series::{DrillOutcome, DrillSeries, unpack};
