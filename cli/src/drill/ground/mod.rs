//! Where a drill takes place: who runs there, who can be broken, and how.
//!
//! A drill knows instances and victims. What they are made of, processes of this machine or pods of a cluster, is known
//! here and in `target`.

mod cluster;
mod local;

pub use cluster::{ClusterGround, ClusterGrounds, can_break};
pub use local::LocalGround;
#[cfg(test)]
pub(super) use local::tests::sleeper;

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::error::DrillError;
use super::history::{FaultKind, Micros, Seen};
use super::scenario::Victims;
use crate::report::Software;
use crate::shop::StaleReleases;
use crate::target::local::Strike;

/// An instance as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its name, which stays when another process takes its place.
    pub instance: String,
    /// What is written down of it.
    pub seen: Seen,
    /// What it does instead of serving.
    pub trouble: Option<String>,
    /// Whether nobody will start it again.
    pub given_up: bool,
}

/// Something that is done to a victim, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The instance.
    pub instance: String,
    /// Its process, as a fault has it.
    pub process: String,
    /// Processes of it that are hit as well.
    pub others: Vec<String>,
}

/// What came of striking a victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// When.
    pub at: Micros,
    /// Whether it is known to have happened.
    pub confirmed: bool,
    /// What was seen of it.
    pub evidence: String,
}

/// Tells the time of a history.
pub type Clock<'a> = &'a (dyn Fn() -> Micros + Send + Sync);

/// Somebody who is broken: one instance, or all on a machine.
pub trait Victim: Send + Sync {
    /// Its name, for people.
    fn name(&self) -> String;
    /// Whom it hits.
    fn hits(&self) -> Vec<Hit>;
    /// Does something to it, and waits until that is known to have happened. What can be done at once is done when this is
    /// polled first.
    fn strike<'a>(&'a mut self, kind: FaultKind, clock: Clock<'a>) -> BoxFuture<'a, Struck>;
    /// Whether it is broken still, and will be until somebody mends it or replaces it.
    fn is_broken(&self) -> bool;
    /// Whether it was told to end and has not done so yet.
    fn is_ending(&self) -> bool {
        false
    }
    /// Mends it without waiting for anybody, if that can be done: whoever drops a drill cannot wait.
    fn mend_at_once(&mut self, clock: Clock<'_>) -> Option<Struck>;
}

/// Where a drill takes place.
pub trait Ground: Send + Sync {
    /// How long the shop may take to be whole after a drill or before the next.
    fn patience(&self) -> Duration;
    /// Makes one thing that a drill before has left like new, where that does not come by itself. Says what was done, if
    /// anything was left.
    fn prepare(&self) -> BoxFuture<'_, Result<Option<String>, DrillError>>;
    /// The instances.
    fn instances(&self) -> BoxFuture<'_, Result<Vec<Instance>, DrillError>>;
    /// Those of the instances that hang although their probes have not failed yet, where that can be seen. Costs more than
    /// to ask for all of them.
    fn hanging(&self) -> BoxFuture<'_, Result<Vec<String>, DrillError>>;
    /// Those of the instances whom a scenario hits, the first of them the one that was drawn: `draw` gives a number below
    /// another one.
    fn victims<'a>(
        &'a self,
        whom: Victims,
        kind: FaultKind,
        draw: &'a (dyn Fn(u64) -> u64 + Send + Sync),
    ) -> BoxFuture<'a, Result<Vec<Box<dyn Victim>>, DrillError>>;
    /// Where an instance tells how many locks it found not to be its own any more.
    fn stale_releases<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Option<StaleReleases>>;
    /// Undoes what a drill that was killed may have left. Gives the names of what was mended.
    fn heal(&self) -> BoxFuture<'_, Result<Vec<String>, DrillError>>;
    /// What takes part, besides `k6`, and what is to be said about it.
    fn software(&self, k6: Option<String>) -> BoxFuture<'_, (Software, Vec<String>)>;
}

/// What is done to the processes of an instance, if that is what a fault is.
fn strike_of(kind: FaultKind) -> Option<Strike> {
    match kind {
        FaultKind::Kill => Some(Strike::Kill),
        FaultKind::Stop => Some(Strike::Stop),
        FaultKind::Continue => Some(Strike::Continue),
        _ => None,
    }
}

/// Draws whom a scenario hits from candidates in the order of their names.
fn chosen<T>(
    mut candidates: Vec<T>,
    whom: Victims,
    draw: &(dyn Fn(u64) -> u64 + Send + Sync),
) -> Vec<T> {
    let all = candidates.len();
    if all > 0 {
        let first = usize::try_from(draw(all as u64)).unwrap_or(0) % all;
        candidates.rotate_left(first);
    }
    candidates.truncate(whom.count.of(all));
    candidates
}

fn no_victim(whom: Victims) -> DrillError {
    DrillError::NoVictim {
        component: whom.component.to_owned(),
        role: whom.role.map(str::to_owned),
    }
}
