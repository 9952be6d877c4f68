//! A tree as a compressed tar whose bytes follow from the tree alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use tar::{Builder, EntryType, Header};
use zstd::stream::write::Encoder;

use super::digest::Summing;
use super::tree::{Entry, Node, Tree};
use super::{Digest, ImageError};

/// How hard is compressed: twice as fast as the disk of a small machine, and a third of the size.
const LEVEL: i32 = 6;

/// A layer on disk, in a file that has no name any more.
pub(super) struct Layer {
    pub(super) file: File,
    pub(super) size: u64,
    /// The sum of what is on disk.
    pub(super) digest: Digest,
    /// The sum of the tar in it, which is what an image's configuration names.
    pub(super) content: Digest,
}

impl Layer {
    /// Writes a tree beside the archive that it will be a part of, where there is room for it.
    pub(super) fn write(tree: &Tree, archive: &Path) -> Result<Self, ImageError> {
        let file = unnamed_file(archive).map_err(ImageError::write(archive))?;
        let compressed = Summing::new(BufWriter::new(file));
        let encoder = Encoder::new(compressed, LEVEL).map_err(ImageError::write(archive))?;
        let mut builder = Builder::new(Summing::new(encoder));
        for (path, entry) in tree.entries() {
            append(&mut builder, path, entry, archive)?;
        }
        let (content, compressed) = finish(builder).map_err(ImageError::write(archive))?;
        let (buffer, digest, size) = compressed.finish();
        let mut file = buffer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .map_err(ImageError::write(archive))?;
        file.seek(SeekFrom::Start(0))
            .map_err(ImageError::write(archive))?;
        Ok(Self {
            file,
            size,
            digest,
            content,
        })
    }
}

type Compressed = Summing<BufWriter<File>>;

fn finish(builder: Builder<Summing<Encoder<'_, Compressed>>>) -> io::Result<(Digest, Compressed)> {
    let (encoder, content, _) = builder.into_inner()?.finish();
    Ok((content, encoder.finish()?))
}

/// A file that goes when we do, however we end.
fn unnamed_file(archive: &Path) -> io::Result<File> {
    static WRITTEN: AtomicU32 = AtomicU32::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let name = format!(".shopctl-{}-{number}.layer", std::process::id());
    let path = if archive.is_dir() {
        archive.join(name)
    } else {
        archive.with_file_name(name)
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn append<W: Write>(
    builder: &mut Builder<W>,
    path: &Path,
    entry: &Entry,
    archive: &Path,
) -> Result<(), ImageError> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.user.into());
    header.set_gid(entry.owner.group.into());
    header.set_size(0);
    match &entry.node {
        Node::Folder => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, path, io::empty())
        }
        Node::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            builder.append_link(&mut header, path, target)
        }
        Node::Same(first) => {
            header.set_entry_type(EntryType::Link);
            builder.append_link(&mut header, path, first)
        }
        Node::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())
        }
        Node::File(source) => {
            let file = File::open(source).map_err(ImageError::read(source))?;
            let size = file.metadata().map_err(ImageError::read(source))?.len();
            header.set_size(size);
            // One that grows or shrinks meanwhile would spoil everything after it.
            let exact = Exact { file, left: size };
            match builder.append_data(&mut header, path, exact) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(ImageError::read(source)(error));
                }
                other => other,
            }
        }
    }
    .map_err(ImageError::write(archive))
}

/// A file's first bytes, exactly as many as were promised.
struct Exact {
    file: File,
    left: u64,
}

impl io::Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        match self.file.read(&mut buffer[..most])? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it was changed while it was read",
            )),
            read => {
                self.left -= read as u64;
                Ok(read)
            }
        }
    }
}
