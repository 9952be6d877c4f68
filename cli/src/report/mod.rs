//! What a proof leaves behind: a report that somebody who doubts it can check.
//!
//! [`LoadReport`] is made from two things: [`LoadFacts`] (what ran where) and [`Samples`] (the raw measurements).
//! [`LoadReport::assemble`] is pure, and the same function makes the report after a run and recomputes it when the
//! report is verified, so that no figure of a report can differ from what its samples say. Not here: measuring.

mod accounting;
mod histogram;
mod judge;
mod model;
mod origin;
mod samples;
mod summary;
mod verdict;

pub use accounting::{Acknowledged, BookedOrder, BookedProduct, Books, account};
pub use histogram::Histogram;
pub use model::{
    Accounting, AccountingCheck, Checks, Comparison, Generator, InstanceUse, Latency, LoadReport,
    NamedCheck, Objective, Profile, Reason, ResourcePoint, Route, SCHEMA_VERSION, Second, Totals,
};
pub use origin::{Hardware, LoadAverage, LoadAverages, Software, report_id};
pub use samples::{
    CheckCount, GeneratorPoint, InstanceSamples, ReadSamplesError, RouteSecond, Samples,
};
pub use summary::{Limit, LoadFacts, Measure, limits};
pub use verdict::Verdict;
