//! The first proof: every route of the shop through its front door, real logins, and a flash sale whose outcome is
//! exact, by the shop's word and by the books in Postgres.
//!
//! What it makes is tagged, seen by nobody else, and removed at the end, also when something failed. Not here: load and
//! faults, and how the shop is run.

mod accounts;
mod catalogue;
mod cleanup;
mod echo;
mod flash_sale;
mod orders;
mod report;
mod routes;
mod run;
mod session;

pub use report::{Check, FlashSale, Outcome, SmokeReport};
pub use run::{CLEAN_UP, smoke};
