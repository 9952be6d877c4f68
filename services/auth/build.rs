//! Rebuilds the crate when a migration is added: the macro that embeds them only sees those it has read.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
