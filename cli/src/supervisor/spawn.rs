//! Starts one process so that it can never live unrecorded, whenever the supervisor is killed.
//!
//! The child writes its own record between fork and exec. A supervisor that is killed right after fork leaves a child
//! that still records itself before it becomes the server. And the next supervisor cannot look too early: until exec
//! the child holds the supervisor's lock as well, because a lock belongs to the open file, which fork shares and exec
//! closes. Who gets the lock therefore sees every record.
//!
//! Between fork and exec only system calls are made: no memory is taken, no lock, no formatting.
//!
//! What a process gets: a session and process group of its own, the given user without other groups, umask 077, only
//! the given environment, stdin from nowhere, output appended to its log, no other file of ours, room for 65536 open
//! files where the hard limit allows. It is not told of the supervisor's death: instances outlive it.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{Gid, Uid};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use time::OffsetDateTime;

use super::error::SupervisorError;
use super::folder::{StateFolder, create_dir};
use super::identity::{ProcessIdentity, boot_id, parse_stat, process_stat};
use super::record::{self, PID_OFFSET, PID_WIDTH, TICKS_OFFSET, TICKS_WIDTH};
use super::spec::{InstanceSpec, RunAs};

/// Open files that a server may have: one a connection, and some.
const OPEN_FILES: u64 = 65_536;

/// What the child does before it becomes the server; everything in it was made before fork.
struct Entry {
    record: std::os::fd::OwnedFd,
    temporary: CString,
    destination: CString,
    user: Option<RunAs>,
}

/// Starts the process of an instance. When this returns, its record is in place and exec has succeeded.
pub(super) fn spawn(
    folder: &StateFolder,
    spec: &InstanceSpec,
    restarts: u64,
    started_at: OffsetDateTime,
) -> Result<ProcessIdentity, SupervisorError> {
    let (program, arguments) =
        spec.argv
            .split_first()
            .ok_or_else(|| SupervisorError::Unacceptable {
                instance: spec.name.clone(),
                reason: "it has no program".to_owned(),
            })?;
    create_dir(&folder.instance(&spec.name), 0o755)?;
    let destination = folder.record(&spec.name);
    let temporary = destination.with_extension("json.new");
    let record = record::prepare(&temporary, spec, started_at, restarts)?;
    let log = open_log(&spec.log)?;
    let log_of_errors = log
        .try_clone()
        .map_err(|source| SupervisorError::write(&spec.log, source))?;
    let entry = Entry {
        record,
        temporary: c_path(&temporary)?,
        destination: c_path(&destination)?,
        user: spec.user,
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(&spec.environment)
        .current_dir(&spec.working_dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_of_errors);
    run_before_exec(&mut command, entry);
    let child = command.spawn().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        let mut reason = source.to_string();
        if let Some(missing) = [Path::new(program), &spec.working_dir]
            .iter()
            .find(|path| !path.exists())
        {
            reason = format!("{} does not exist", missing.display());
        }
        SupervisorError::Spawn {
            program: program.clone(),
            reason,
        }
    })?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    // The child is ours and not yet waited for, so its pid is its own even if it has already ended.
    let start_ticks = process_stat(pid).map_or(0, |stat| stat.start_ticks);
    let boot_id = boot_id().map_err(|source| SupervisorError::System {
        action: "read the boot id",
        source,
    })?;
    Ok(ProcessIdentity {
        pid,
        start_ticks,
        boot_id,
    })
}

/// Opens an instance's log for appending, without following a link that its user may have put there.
pub(super) fn open_log(path: &Path) -> Result<fs::File, SupervisorError> {
    if let Some(parent) = path.parent() {
        create_dir(parent, 0o755)?;
    }
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|source| SupervisorError::write(path, source))
}

fn c_path(path: &Path) -> Result<CString, SupervisorError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|error| {
        SupervisorError::write(path, io::Error::new(io::ErrorKind::InvalidInput, error))
    })
}

#[allow(
    unsafe_code,
    reason = "what a child does before exec can only be given this way"
)]
fn run_before_exec(command: &mut Command, entry: Entry) {
    // SAFETY: `Entry::enter` makes system calls on data that was made before fork; it neither allocates nor takes a
    // lock, so it is safe in the child of a process with several threads.
    unsafe {
        command.pre_exec(move || entry.enter());
    }
}

impl Entry {
    fn enter(&self) -> io::Result<()> {
        rustix::process::setsid()?;
        rustix::process::umask(Mode::from_raw_mode(0o077));
        reset_signals()?;
        reset_oom_score();
        write_identity(self.record.as_fd())?;
        rustix::fs::rename(self.temporary.as_c_str(), self.destination.as_c_str())?;
        raise_open_files();
        if let Some(user) = self.user {
            let group = Gid::from_raw(user.gid);
            nix::unistd::setgroups(&[group])?;
            nix::unistd::setgid(group)?;
            nix::unistd::setuid(Uid::from_raw(user.uid))?;
        }
        close_on_exec_from(3);
        Ok(())
    }
}

/// Signals that the supervisor was started to ignore (as under `nohup`) would stay ignored in the server.
#[allow(
    unsafe_code,
    reason = "setting a signal's action is unsafe because a handler may be; the default has none"
)]
pub(super) fn reset_signals() -> io::Result<()> {
    for number in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGCHLD,
        Signal::SIGPIPE,
    ] {
        // SAFETY: the default action runs no code of ours.
        unsafe { signal(number, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// The supervisor may have made itself a worse victim of the out-of-memory killer; its children are as good as any.
fn reset_oom_score() {
    let opened = rustix::fs::open(
        c"/proc/self/oom_score_adj",
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    if let Ok(file) = opened {
        // Where this is refused the score was not lowered in the first place.
        let _ = rustix::io::write(file, b"0");
    }
}

/// Completes the record with what only the child knows.
fn write_identity(record: BorrowedFd<'_>) -> io::Result<()> {
    const STAT: &CStr = c"/proc/self/stat";
    let mut text = [0_u8; 1024];
    let stat = rustix::fs::open(STAT, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let length = rustix::io::read(&stat, &mut text)?;
    let stat = text
        .get(..length)
        .and_then(parse_stat)
        .ok_or(io::Error::from_raw_os_error(libc::EPROTO))?;
    let pid = u64::from(
        rustix::process::getpid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs(),
    );
    write_all_at(record, &record::pad::<PID_WIDTH>(pid), PID_OFFSET)?;
    write_all_at(
        record,
        &record::pad::<TICKS_WIDTH>(stat.start_ticks),
        TICKS_OFFSET,
    )
}

fn write_all_at(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
    if rustix::io::pwrite(file, bytes, offset)? == bytes.len() {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(libc::EIO))
}

fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        // The server works with fewer, too, and says so itself.
        let _ = rustix::process::setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum: limit.maximum,
            },
        );
    }
}

/// Marks everything from `first` on to be closed by exec. Files of our own are marked already; this is for what the
/// caller of shopctl left open.
#[allow(
    unsafe_code,
    reason = "close_range has no safe wrapper in the crates that we use"
)]
pub(super) fn close_on_exec_from(first: libc::c_uint) {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed now, so no file that is in use is pulled away. A kernel
    // before 5.11 refuses, and what was left open stays open.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
}
