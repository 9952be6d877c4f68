//! Images as OCI archives, written here and byte for byte reproducible: no Docker, no registry, no other program.
//!
//! An image comes from one program (with the shared objects it needs, read from its ELF headers) or from a folder that
//! holds a root file system. What is written is a tar of an OCI layout that containerd, k3s' image folder, podman and
//! Docker take. The same content gives the same bytes: times are zero, entries sorted, and nothing of the machine that
//! packed it goes in. Bringing an archive to a host is not done here.

mod archive;
mod digest;
mod error;
mod layer;
mod libraries;
mod name;
mod pack;
mod program;
mod tree;

pub use digest::Digest;
pub use error::ImageError;
pub use name::{ImageName, InvalidImageName};
pub use pack::{Packed, Recipe, files_of, pack_program, pack_root};
pub use tree::Owner;
