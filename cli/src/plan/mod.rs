//! Planning: what is wanted and what there is, to an ordered list of steps that each know whether they are needed.
//!
//! Pure: the same input gives the same plan. Not here: looking (`target`), and carrying steps out (`target`).

mod model;
mod order;
mod steps;

pub use model::{
    Action, Observed, ObservedInstance, Plan, Step, SupervisorSeen, Wanted, WantedInstance,
    WantedTask, Wave,
};
pub use order::in_start_order;
pub use steps::plan;
