//! Keeps logs small: what grows past its size is copied aside and cut, three copies deep.
//!
//! The instances hold their logs open for appending and outlive the supervisor, so a log cannot be renamed under them
//! or go through a pipe of ours: it is copied, then truncated. What is written in the instant between the last look
//! and the cut is lost, so that the last line of an old log may be torn; for this way that is unavoidable.
//! Everything before and after is whole. A rotation that is broken off after the copy repeats lines and loses none.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::folder::StateFolder;

/// A log longer than this is rotated.
const SIZE_MAXIMUM: u64 = 10 * 1024 * 1024;
/// How many old ones are kept.
pub(super) const GENERATIONS: u32 = 3;
/// How often the sizes are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looks after the logs of all instances and the supervisor's own.
pub(super) async fn rotate_for_ever(core: Arc<Core>, folder: Arc<StateFolder>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let mut logs = core.logs();
        logs.push(folder.supervisor_log());
        for log in logs {
            let path = log.clone();
            // Copying 10 MiB takes longer than a probe should wait.
            let rotated =
                tokio::task::spawn_blocking(move || rotate_if_large(&path, SIZE_MAXIMUM)).await;
            if let Ok(Err(error)) = rotated {
                core.journal().note(
                    "logs",
                    format_args!("failed to rotate {}: {error}", log.display()),
                );
            }
        }
    }
}

/// The name of an old log: `log.1` is the newest.
pub(super) fn old_log(log: &Path, generation: u32) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{generation}"));
    name.into()
}

/// Rotates a log that has grown past `maximum`; says whether it did.
pub(super) fn rotate_if_large(log: &Path, maximum: u64) -> io::Result<bool> {
    match fs::symlink_metadata(log) {
        Ok(metadata) if metadata.is_file() && metadata.len() > maximum => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    for generation in (1..GENERATIONS).rev() {
        match fs::rename(old_log(log, generation), old_log(log, generation + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // The folder may belong to the instance's user, who must not have us write through a link.
    let mut source = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(log)?;
    let temporary = log.with_extension("rotating");
    let copied = begin_copy(&mut source, &temporary);
    let mut copy = copied.inspect_err(|_| {
        // On a full disk the copy is what must go; the log is cut another time.
        let _ = fs::remove_file(&temporary);
    })?;
    fs::rename(&temporary, old_log(log, 1))?;
    // Nothing but this system call lies between the last look and the cut.
    copy_rest(&mut source, &mut copy)?;
    source.set_len(0)?;
    Ok(true)
}

fn begin_copy(source: &mut fs::File, destination: &Path) -> io::Result<fs::File> {
    let mut copy = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(destination)?;
    copy_rest(source, &mut copy)?;
    Ok(copy)
}

/// Copies until nothing new has come while the last piece was copied.
fn copy_rest(source: &mut fs::File, copy: &mut fs::File) -> io::Result<()> {
    while io::copy(source, copy)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_is_cut_only_past_its_size_and_kept_three_deep() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut writer = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log)
            .unwrap();
        assert!(!rotate_if_large(&log, 10).unwrap());
        for round in 0..5 {
            writeln!(writer, "round {round} of many").unwrap();
            assert!(rotate_if_large(&log, 10).unwrap());
        }
        writeln!(writer, "last").unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        // The writer never reopened its file, and appends at the new end.
        assert_eq!(read(&log), "last\n");
        assert_eq!(read(&old_log(&log, 1)), "round 4 of many\n");
        assert_eq!(read(&old_log(&log, 3)), "round 2 of many\n");
        assert!(!old_log(&log, 4).exists());
    }

    /// The way cannot promise that no line is lost, and how many are depends on the scheduler; what it does promise is
    /// that those that are there are whole, in order, and there once.
    #[test]
    fn under_a_writer_lines_stay_whole_and_in_order() {
        const LINES: u32 = 60_000;
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut writer = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log)
            .unwrap();
        let writing = std::thread::spawn(move || {
            for line in 0..LINES {
                writer
                    .write_all(format!("line {line:08}\n").as_bytes())
                    .unwrap();
            }
        });
        let mut found = Vec::new();
        let mut rotations = 0;
        let take = |path: &Path, found: &mut Vec<u32>| {
            let text = fs::read_to_string(path).unwrap();
            // A line without its end was cut in the instant that this way loses.
            for line in text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
            {
                assert_eq!(line.len(), 14, "`{line}` is not whole");
                found.push(line.trim_start_matches("line ").trim_end().parse().unwrap());
            }
        };
        while !writing.is_finished() {
            if rotate_if_large(&log, 20_000).unwrap() {
                rotations += 1;
                take(&old_log(&log, 1), &mut found);
            }
        }
        writing.join().unwrap();
        take(&log, &mut found);
        assert!(
            rotations > 3,
            "only {rotations} rotations happened under the writer"
        );
        assert!(
            found.is_sorted_by(|one, next| one < next),
            "lines are repeated or out of order"
        );
        let lost = LINES as usize - found.len();
        assert!(
            lost < found.len(),
            "{lost} lines were lost in {rotations} rotations"
        );
    }

    #[test]
    fn a_link_in_place_of_a_log_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("precious");
        fs::write(&target, "x".repeat(100)).unwrap();
        let log = folder.path().join("log");
        std::os::unix::fs::symlink(&target, &log).unwrap();
        assert!(!rotate_if_large(&log, 10).unwrap());
        assert_eq!(fs::read(&target).unwrap().len(), 100);
    }
}
