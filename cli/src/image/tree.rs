//! What is in a layer: paths with their content, owner and mode, in the order of their paths.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use super::ImageError;

/// A user and a group by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

impl Owner {
    /// The user that images of programs run as. Numbers under 10000 could be somebody's on the host.
    pub const SHOP: Self = Self {
        user: 10001,
        group: 10001,
    };
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

impl std::str::FromStr for Owner {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        match (user.parse(), group.parse()) {
            (Ok(user), Ok(group)) => Ok(Self { user, group }),
            _ => Err("a user is NUMBER or NUMBER:NUMBER, since names mean nothing to another host"),
        }
    }
}

/// What is at a path.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Folder,
    /// The bytes of a file of this machine.
    File(PathBuf),
    Bytes(Vec<u8>),
    /// A symbolic link, and where it points.
    Link(PathBuf),
    /// Another name of the file at a path of this tree.
    Same(PathBuf),
}

/// A path's content with its owner and mode.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) node: Node,
    pub(super) mode: u32,
    pub(super) owner: Owner,
}

/// Paths relative to the root, sorted, each after the folder that it is in.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

/// How many symbolic links lead to one path at most, as the kernel has it.
const MOST_LINKS: usize = 40;

impl Tree {
    /// Puts something at a path, and root's folders above it where there are none.
    pub(super) fn put(&mut self, path: &Path, node: Node, mode: u32, owner: Owner) {
        let path = path.strip_prefix("/").unwrap_or(path);
        for above in path
            .ancestors()
            .skip(1)
            .filter(|above| *above != Path::new(""))
        {
            self.entries.entry(above.to_owned()).or_insert(Entry {
                node: Node::Folder,
                mode: 0o755,
                owner: Owner::default(),
            });
        }
        self.entries
            .insert(path.to_owned(), Entry { node, mode, owner });
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&PathBuf, &Entry)> {
        self.entries.iter()
    }

    /// Reads a folder as a root file system. What is no folder, file or link (devices, sockets) is left out.
    pub(super) fn read(root: &Path) -> Result<Self, ImageError> {
        let mut tree = Self::default();
        let mut first_names = HashMap::new();
        tree.read_folder(root, Path::new(""), &mut first_names)?;
        Ok(tree)
    }

    fn read_folder(
        &mut self,
        root: &Path,
        below: &Path,
        first_names: &mut HashMap<(u64, u64), PathBuf>,
    ) -> Result<(), ImageError> {
        let folder = root.join(below);
        let mut names = fs::read_dir(&folder)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|entry| entry.file_name()))
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(ImageError::read(&folder))?;
        // Sorted here too: which name of a file is its first one must not depend on the disk.
        names.sort();
        for name in names {
            let path = below.join(name);
            let on_disk = root.join(&path);
            let facts = fs::symlink_metadata(&on_disk).map_err(ImageError::read(&on_disk))?;
            let kind = facts.file_type();
            let node = if kind.is_dir() {
                Node::Folder
            } else if kind.is_symlink() {
                Node::Link(fs::read_link(&on_disk).map_err(ImageError::read(&on_disk))?)
            } else if kind.is_file() {
                match first_names.entry((facts.dev(), facts.ino())) {
                    _ if facts.nlink() < 2 => Node::File(on_disk),
                    std::collections::hash_map::Entry::Occupied(first) => {
                        Node::Same(first.get().clone())
                    }
                    std::collections::hash_map::Entry::Vacant(first) => {
                        first.insert(path.clone());
                        Node::File(on_disk)
                    }
                }
            } else {
                debug_assert!(
                    kind.is_char_device()
                        || kind.is_block_device()
                        || kind.is_fifo()
                        || kind.is_socket()
                );
                continue;
            };
            let owner = Owner {
                user: facts.uid(),
                group: facts.gid(),
            };
            self.put(&path, node, facts.mode() & 0o7777, owner);
            if kind.is_dir() {
                self.read_folder(root, &path, first_names)?;
            }
        }
        Ok(())
    }

    /// Whether a path leads to a file, through links as the kernel would follow them.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        let mut left = MOST_LINKS;
        self.resolve(path, &mut left).is_some_and(|found| {
            self.entries.get(&found).is_some_and(|entry| {
                matches!(entry.node, Node::File(_) | Node::Bytes(_) | Node::Same(_))
            })
        })
    }

    fn resolve(&self, path: &Path, left: &mut usize) -> Option<PathBuf> {
        let mut here = PathBuf::new();
        for component in path.components() {
            match component {
                Component::RootDir => here.clear(),
                Component::ParentDir => {
                    here.pop();
                }
                Component::CurDir | Component::Prefix(_) => {}
                Component::Normal(name) => {
                    let next = here.join(name);
                    match &self.entries.get(&next)?.node {
                        Node::Link(target) => {
                            *left = left.checked_sub(1)?;
                            here = self.resolve(&Path::new("/").join(&here).join(target), left)?;
                        }
                        _ => here = next,
                    }
                }
            }
        }
        Some(here)
    }
}
