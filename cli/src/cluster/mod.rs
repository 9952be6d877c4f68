//! A Kubernetes cluster: what is there, what would change, and what makes it so.
//!
//! | file | does |
//! |---|---|
//! | `connect`, `kinds`, `error` | the API server: requests with a deadline, and what it answers |
//! | `object`, `stage` | objects as JSON: what they are known by, and in which order they are made |
//! | `observe`, `changes`, `diff` | what there is, held against what is wanted, field by field |
//! | `conflict` | who else set a field |
//! | `prune` | which objects nobody wants any more |
//! | `apply` | server-side apply in stages, replacement, deletion |
//! | `scaling` | which objects somebody else scales |
//! | `ready`, `wait`, `explain` | readiness by kind, waiting for it, and what to say and do when it does not come |
//! | `lease` | one run at a time |
//! | `pods`, `pod_watch` | pods and what they write; pods as they change |
//!
//! Everything that is decided here is decided by pure functions of objects. Not here: what is wanted (`render`), hosts
//! (`host`, `bootstrap`), and any component by name.

mod apply;
mod changes;
mod conflict;
mod connect;
mod diff;
mod error;
mod explain;
mod kinds;
mod lease;
mod object;
mod observe;
mod pod_watch;
mod pods;
mod prune;
mod ready;
mod scaling;
mod stage;
mod wait;

pub use apply::{carry_out, remove};
pub use changes::{Deed, DryRun, ObjectChange, ObjectPlan, Seen, object_plan};
pub use conflict::Conflict;
pub use connect::{Applied, Applying, Cluster, Passage};
pub use diff::{FieldChange, HIDDEN, Mask, changes};
pub use error::ClusterError;
pub use explain::Late;
pub use kinds::{Kind, Kinds};
pub use lease::{Lease, LeaseRequest};
pub use object::{
    ENVIRONMENT, MANAGED_BY, MANAGER, ObjectKey, label, list, number, selector_of, text,
};
pub use observe::{Sight, all_of, look};
pub use pod_watch::PodWatch;
pub use pods::{LogReading, follow_log, is_of, notes, pods, read_log};
pub use prune::{Reach, unwanted};
pub use ready::{PodTrouble, Readiness, is_awaited, readiness, trouble};
pub use scaling::is_autoscaled;
pub use stage::{Stage, in_stages};
pub use wait::{Awaiting, wait_ready};
