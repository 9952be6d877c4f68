//! Reads the instances' logs: the last lines, and then what is added, across rotations.
//!
//! Works without a supervisor: which instances there are and where their logs lie is known from what is wanted. Not
//! here: how lines look on a terminal.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::desired::Desired;
use super::error::SupervisorError;
use super::folder::StateFolder;
use super::rotation::{GENERATIONS, old_log};

/// Files are read in pieces of this size.
const PIECE: u64 = 64 * 1024;
/// So much of a log tells it from another.
const BEGINNING: u64 = 512;
/// A line that is longer is given in parts.
const LINE_MAXIMUM: usize = 1024 * 1024;
/// Between the two steps of a rotation lie microseconds, unless the supervisor was killed between them.
const CUT_PATIENCE: Duration = Duration::from_secs(1);

/// An instance that has a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    /// The component that it is a replica of.
    pub component: String,
    /// Its name.
    pub instance: String,
    /// The log.
    pub path: PathBuf,
}

/// The instances of a state folder, in their order, with their logs.
pub fn log_sources(folder: &StateFolder) -> Result<Vec<LogSource>, SupervisorError> {
    let desired = Desired::load(folder)?;
    let specs = desired.entries.into_iter().map(|entry| entry.spec);
    Ok(specs
        .map(|spec| LogSource {
            component: spec.component,
            instance: spec.name,
            path: spec.log,
        })
        .collect())
}

/// A log that is being read.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
    /// The newest old log, as it was seen last: another one means that the log was rotated.
    newest_old: Option<FileIdentity>,
    /// A rotation has begun; since then the log is waited for being cut.
    uncut: Option<Instant>,
}

/// A file, whatever its name is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    fn of(path: &Path) -> io::Result<Option<Self>> {
        Ok(metadata(path)?.map(|metadata| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }))
    }
}

impl LogReader {
    /// Opens a log, gives its last lines and stands at its end. A log that does not exist yet is an empty one.
    pub fn open(path: &Path, lines: usize) -> Result<(Self, Vec<String>), SupervisorError> {
        let open = || {
            let newest_old = FileIdentity::of(&old_log(path, 1))?;
            let offset = metadata(path)?.map_or(0, |metadata| metadata.len());
            let mut bytes = last_bytes(path, offset, lines)?;
            let complete = bytes
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |end| end + 1);
            let begun = bytes.split_off(complete);
            let reader = Self {
                path: path.to_owned(),
                offset,
                begun,
                newest_old,
                uncut: None,
            };
            let given = usize::from(!reader.begun.is_empty());
            Ok((reader, last_lines(&bytes, lines.saturating_sub(given))))
        };
        open().map_err(|source| SupervisorError::read(path, source))
    }

    /// The line at the end whose end is not written yet.
    pub fn unfinished(&self) -> Option<String> {
        (!self.begun.is_empty()).then(|| String::from_utf8_lossy(&self.begun).into_owned())
    }

    /// The lines that were added since.
    pub fn added(&mut self) -> Result<Vec<String>, SupervisorError> {
        let mut lines = Vec::new();
        self.take_added(&mut lines)
            .map_err(|source| SupervisorError::read(&self.path, source))?;
        Ok(lines)
    }

    fn take_added(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        let old = old_log(&self.path, 1);
        let newest_old = FileIdentity::of(&old)?;
        if newest_old.is_some() && newest_old != self.newest_old {
            self.uncut = Some(Instant::now());
        }
        self.newest_old = newest_old;
        let mut length = metadata(&self.path)?.map_or(0, |metadata| metadata.len());
        if let Some(since) = self.uncut {
            // All that was in the log is now in the old one as well, and before the cut more of it may come there.
            let old_length = metadata(&old)?.map_or(0, |metadata| metadata.len());
            let copied = length >= old_length && beginning(&old)? == beginning(&self.path)?;
            if copied && since.elapsed() < CUT_PATIENCE {
                return Ok(());
            }
            self.uncut = None;
            self.read(&old, self.offset, old_length, lines)?;
            self.offset = 0;
            length = metadata(&self.path)?.map_or(0, |metadata| metadata.len());
        }
        if length < self.offset {
            // Cut by somebody else: what is there now is new.
            self.offset = 0;
        }
        let path = self.path.clone();
        self.offset = self.read(&path, self.offset, length, lines)?;
        Ok(())
    }

    /// Reads a part of a file into lines; gives where it ended.
    fn read(
        &mut self,
        path: &Path,
        from: u64,
        to: u64,
        lines: &mut Vec<String>,
    ) -> io::Result<u64> {
        if from >= to {
            return Ok(from);
        }
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut part = file.take(to - from);
        let mut at = from;
        let mut piece = Vec::new();
        loop {
            piece.clear();
            let length = part.by_ref().take(PIECE).read_to_end(&mut piece)?;
            if length == 0 {
                return Ok(at);
            }
            at += length as u64;
            self.split(&piece, lines);
        }
    }

    fn split(&mut self, piece: &[u8], lines: &mut Vec<String>) {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") || self.begun.len() > LINE_MAXIMUM {
                lines.push(text(&self.begun));
                self.begun.clear();
            }
        }
    }
}

fn metadata(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first bytes of a file, to tell a log that was cut and has grown again from one that is not cut yet.
fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if metadata(path)?.is_some() {
        fs::File::open(path)?
            .take(BEGINNING)
            .read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

fn last_lines(bytes: &[u8], lines: usize) -> Vec<String> {
    let all: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    all.iter()
        .skip(all.len().saturating_sub(lines))
        .map(|line| text(line))
        .collect()
}

/// The end of a log, at least so many lines of it if there are so many; older ones continue into old logs.
fn last_bytes(log: &Path, length: u64, lines: usize) -> io::Result<Vec<u8>> {
    let mut pieces = VecDeque::new();
    let mut wanted = lines;
    for generation in 0..=GENERATIONS {
        let (path, length) = if generation == 0 {
            (log.to_owned(), length)
        } else {
            let path = old_log(log, generation);
            let length = metadata(&path)?.map_or(0, |metadata| metadata.len());
            (path, length)
        };
        if wanted == 0 {
            break;
        }
        if length > 0 {
            let bytes = last_bytes_of(&path, length, wanted)?;
            wanted = wanted.saturating_sub(count_lines(&bytes));
            pieces.push_front(bytes);
        }
    }
    Ok(pieces.into_iter().flatten().collect())
}

/// The end of one file: read backwards until it holds more line ends than are wanted, or is all.
fn last_bytes_of(path: &Path, length: u64, lines: usize) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let mut pieces = VecDeque::new();
    let mut seen = 0;
    let mut end = length;
    while end > 0 && seen <= lines {
        let start = end.saturating_sub(PIECE);
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.by_ref().take(end - start).read_to_end(&mut piece)?;
        seen += count_lines(&piece);
        pieces.push_front(piece);
        end = start;
    }
    Ok(pieces.into_iter().flatten().collect())
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.split(|&byte| byte == b'\n').count() - 1
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::supervisor::rotation::rotate_if_large;

    struct Log {
        path: PathBuf,
        writer: fs::File,
        _folder: tempfile::TempDir,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let writer = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .unwrap();
            Self {
                path,
                writer,
                _folder: folder,
            }
        }

        fn write(&mut self, text: &str) {
            self.writer.write_all(text.as_bytes()).unwrap();
        }

        fn rotate(&self) {
            assert!(rotate_if_large(&self.path, 0).unwrap());
        }
    }

    #[test]
    fn the_last_lines_are_found_across_pieces_and_old_logs() {
        let mut log = Log::new();
        let lines: Vec<String> = (0..5000)
            .map(|line| format!("{line} {}", "x".repeat(40)))
            .collect();
        for (position, line) in lines.iter().enumerate() {
            log.write(&format!("{line}\n"));
            if position == 1000 || position == 4990 {
                log.rotate();
            }
        }
        for count in [0, 1, 9, 10, 2000, 4999, 5000, 9000] {
            let (_, last) = LogReader::open(&log.path, count).unwrap();
            assert_eq!(
                last,
                lines[lines.len().saturating_sub(count)..],
                "{count} lines"
            );
        }
    }

    #[test]
    fn a_line_without_its_end_is_the_last_one_and_comes_whole_later() {
        let mut log = Log::new();
        log.write("one\ntwo\nthr");
        let (mut reader, last) = LogReader::open(&log.path, 2).unwrap();
        assert_eq!(
            (last, reader.unfinished()),
            (vec!["two".to_owned()], Some("thr".to_owned()))
        );
        log.write("ee\nfou");
        assert_eq!(reader.added().unwrap(), ["three"]);
        log.write("r\r\n");
        assert_eq!(reader.added().unwrap(), ["four"]);
        assert_eq!(reader.added().unwrap(), [""; 0]);
    }

    #[test]
    fn a_reader_follows_through_rotations_without_losing_or_repeating() {
        let mut log = Log::new();
        let (mut reader, _) = LogReader::open(&log.path, 10).unwrap();
        let mut seen = Vec::new();
        for line in 0..200 {
            log.write(&format!("{line}\n"));
            match line % 7 {
                0 => log.rotate(),
                3 | 5 => seen.extend(reader.added().unwrap()),
                _ => {}
            }
        }
        seen.extend(reader.added().unwrap());
        let all: Vec<String> = (0..200).map(|line| line.to_string()).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn a_reader_between_the_two_steps_of_a_rotation_repeats_nothing() {
        let mut log = Log::new();
        let (mut reader, _) = LogReader::open(&log.path, 10).unwrap();
        log.write("one\ntwo\n");
        assert_eq!(reader.added().unwrap(), ["one", "two"]);
        log.write("three\n");
        fs::copy(&log.path, old_log(&log.path, 1)).unwrap();
        assert_eq!(reader.added().unwrap(), [""; 0]);
        log.writer.set_len(0).unwrap();
        log.write("four\n");
        assert_eq!(reader.added().unwrap(), ["three", "four"]);
    }

    #[test]
    fn a_log_that_is_not_there_yet_is_empty_and_one_that_was_emptied_begins_again() {
        let mut log = Log::new();
        fs::remove_file(&log.path).unwrap();
        let (mut reader, last) = LogReader::open(&log.path, 10).unwrap();
        assert_eq!((last, reader.added().unwrap()), (Vec::new(), Vec::new()));
        log.writer = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log.path)
            .unwrap();
        log.write("a long first line\n");
        assert_eq!(reader.added().unwrap(), ["a long first line"]);
        log.writer.set_len(0).unwrap();
        log.write("again\n");
        assert_eq!(reader.added().unwrap(), ["again"]);
    }
}
