//! What this machine lacks for running the shop, and how to install it.
