//! The supervisor of the local target: it keeps the instances of one state folder running.
