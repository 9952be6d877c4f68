//! A registry of images, as the OCI distribution specification has it: what it lacks of an image, and bringing it there.
//!
//! | file | does |
//! |---|---|
//! | `access` | where it is and who we are there, from the environment and the files that it names |
//! | `packed` | an image in an archive, part by part |
//! | `client` | requests, and who they are from |
//! | `trust` | whose certificates are believed |
//! | `push` | what is missing there, and bringing it |
//! | `error` | what can go wrong, and what to do about it |
//!
//! Not here: making an image (`image`), and what hosts pull (`bootstrap`).

mod access;
mod client;
mod error;
mod packed;
mod push;
mod trust;

pub use access::Access;
pub use client::Client;
pub use error::RegistryError;
pub use packed::{PackedImage, Part};
pub use push::Lack;
