//! What a proof leaves behind: a report that somebody who doubts it can check.
//!
//! [`LoadReport`] is made from two things: [`LoadFacts`] (what ran where) and [`Samples`] (the raw measurements).
//! [`LoadReport::assemble`] is pure, and the same function makes the report after a run and recomputes it when the
//! report is verified, so that no figure of a report can differ from what its samples say. Not here: measuring.

mod accounting;
mod compare;
mod document;
pub mod figures;
mod histogram;
mod html;
mod judge;
mod layout;
mod lookup;
mod manifest;
mod markdown;
mod model;
mod origin;
mod publish;
mod samples;
mod schema;
mod store;
mod summary;
mod verdict;
mod verify;
pub mod words;

pub use accounting::{Acknowledged, BookedOrder, BookedProduct, Books, account};
pub use compare::{Change, Comparing, Finding, Side, compare};
pub use document::{ReadReportError, Report};
pub use histogram::Histogram;
pub use html::page;
pub use lookup::Listed;
pub use manifest::Manifest;
pub use markdown::markdown;
pub use model::{
    Accounting, AccountingCheck, Checks, Comparison, Generator, InstanceUse, Latency, LoadReport,
    NamedCheck, Objective, Profile, Reason, ResourcePoint, Route, SCHEMA_VERSION, Second, Totals,
};
pub use origin::{Hardware, LoadAverage, LoadAverages, Software, report_id};
pub use publish::{BEGIN, END, PublishError, Published, publish};
pub use samples::{
    CheckCount, GeneratorPoint, InstanceSamples, ReadSamplesError, RouteSecond, Samples,
};
pub use schema::report_schema;
pub use store::{Draft, FOLDER, Folder, LEFT_OUT, PUBLISHED, Reports, SAMPLES, SUMS, StoreError};
pub use summary::{Limit, LoadFacts, Measure, limits};
pub use verdict::Verdict;
pub use verify::{FileCheck, FileState, Recomputed, Verification, verify};
