//! A real gateway between real sockets: what goes in, what comes out, and what happens when one side misbehaves.

mod bounds;
mod harness;
mod proxying;
