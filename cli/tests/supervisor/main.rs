//! The supervisor with real processes: the real binary supervises shells, Redis and Postgres, and is killed at will.

mod adoption;
mod apply;
mod control;
mod laboratory;
mod probes;
mod restart;
mod state;
