//! The load test: loads the shop with k6, measures, and asks Postgres afterwards whether the books agree.
//!
//! | file | does |
//! |---|---|
//! | `plan` | what is to be done: a profile and what the command line says otherwise |
//! | `stage`, `script` | test data, customers and tokens; what k6 reads |
//! | `generator`, `ending` | k6 as a process |
//! | `csv`, `orders`, `measure` | what k6 writes, to samples by second and route |
//! | `processes`, `machine` | what the shop's processes use, and where all of it ran |
//! | `books` | what Postgres says, once nothing moves any more |
//! | `run`, `drive`, `conclude` | all of it in its order: before, while and after k6 runs |
//!
//! Not here: what the samples mean. The report is computed from them (`report`), and can be computed again.

mod books;
mod conclude;
mod csv;
mod drive;
mod ending;
mod error;
mod generator;
mod lock;
pub(crate) mod machine;
mod measure;
mod orders;
mod plan;
mod processes;
mod run;
mod script;
mod stage;

pub use error::LoadError;
pub use generator::WayIn;
pub use machine::ensure_room;
pub use plan::{LoadPlan, LoadWish, PlanError};
pub(crate) use run::find_k6;
pub use run::{LoadOutcome, LoadTest};
