//! Planning: what there is and what is wanted, to an ordered list of steps.
