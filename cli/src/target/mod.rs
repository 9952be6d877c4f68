//! Targets: where an environment runs.
