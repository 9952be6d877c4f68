//! A process of this machine: its input is fed and its output gathered at the same time, up to a deadline.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Command as Process;

use super::command::{Exit, Input, Output};

/// As much of a file as is read at once.
const CHUNK: usize = 256 << 10;

/// How a process that was waited for ended, or did not.
pub(super) enum Ended {
    /// By itself.
    Done(Output),
    /// It was killed at its deadline; what it had written.
    TimedOut(Output),
}

/// Why a process could not be run or fed.
pub(super) enum Trouble {
    /// The program could not be started.
    Start(io::Error),
    /// The file that it was to read could not be read.
    Input(io::Error),
}

/// Runs a process. `before` is what it reads before its input.
pub(super) async fn run(
    process: &mut Process,
    before: &[u8],
    input: Input,
    deadline: Duration,
    limit: usize,
) -> Result<Ended, Trouble> {
    let mut child = process
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C on the terminal is for shopctl, which ends what it does at a good moment.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(Trouble::Start)?;
    let stdin = child.stdin.take();
    let (mut out, mut errors) = (Gathered::new(limit), Gathered::new(limit));
    let feeding = async {
        match stdin {
            Some(stdin) => feed(stdin, before, input).await,
            None => Ok(()),
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::join!(feeding, out.read(stdout), errors.read(stderr), child.wait()) };
    let ended = tokio::time::timeout(deadline, all).await;
    let Ok((fed, (), (), status)) = ended else {
        // The group is the process and what it started; whoever changed to another user cannot be reached.
        if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let group = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
        let _ = child.kill().await;
        return Ok(Ended::TimedOut(output(Exit::Signal(9), out, errors)));
    };
    let status = status.map_err(Trouble::Start)?;
    let exit = match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    };
    // One that ended well has read what it wanted to.
    if exit != Exit::Code(0) || fed.is_ok() {
        return Ok(Ended::Done(output(exit, out, errors)));
    }
    fed.map(|()| Ended::Done(output(exit, out, errors)))
        .map_err(Trouble::Input)
}

fn output(exit: Exit, out: Gathered, errors: Gathered) -> Output {
    Output {
        exit,
        cut: out.cut || errors.cut,
        stdout: out.bytes,
        stderr: errors.bytes,
    }
}

/// Gives a process its input. That it does not want all of it is its own business.
async fn feed(mut stdin: impl AsyncWrite + Unpin, before: &[u8], input: Input) -> io::Result<()> {
    if write(&mut stdin, before).await.is_err() {
        return Ok(());
    }
    match input {
        Input::Nothing => {}
        Input::Bytes(bytes) => {
            let _ = write(&mut stdin, &bytes).await;
        }
        Input::File { path, offset, at } => {
            let mut file = File::open(path).await?;
            file.seek(io::SeekFrom::Start(offset)).await?;
            let mut sent = offset;
            at.set(sent);
            let mut chunk = vec![0; CHUNK];
            loop {
                let read = file.read(&mut chunk).await?;
                if read == 0 || write(&mut stdin, &chunk[..read]).await.is_err() {
                    break;
                }
                sent += read as u64;
                at.set(sent);
            }
        }
    }
    let _ = stdin.shutdown().await;
    Ok(())
}

async fn write(stdin: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stdin.write_all(bytes).await
}

/// What was read, up to a limit. What is beyond is read and dropped, so that the process can end.
struct Gathered {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Gathered {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            cut: false,
        }
    }

    async fn read(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut chunk = vec![0; 16 << 10];
        while let Ok(read) = from.read(&mut chunk).await {
            if read == 0 {
                break;
            }
            let room = self.limit.saturating_sub(self.bytes.len());
            self.cut |= read > room;
            self.bytes.extend_from_slice(&chunk[..read.min(room)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, input: Input, deadline: Duration, limit: usize) -> Ended {
        let mut process = Process::new("sh");
        process.args(["-c", script]);
        match run(&mut process, b"", input, deadline, limit).await {
            Ok(ended) => ended,
            Err(Trouble::Start(error) | Trouble::Input(error)) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn a_process_that_writes_while_it_reads_does_not_hang() {
        let input = Input::Bytes(vec![b'x'; 1 << 20]);
        let ended = sh("cat", input, Duration::from_secs(20), 4 << 20).await;
        let Ended::Done(output) = ended else {
            panic!("it hung")
        };
        assert_eq!(output.stdout.len(), 1 << 20);
        assert!(!output.cut);
    }

    #[tokio::test]
    async fn what_is_written_beyond_the_limit_is_dropped_and_told() {
        let script = "head -c 100000 /dev/zero; exit 3";
        let ended = sh(script, Input::Nothing, Duration::from_secs(20), 1000).await;
        let Ended::Done(output) = ended else {
            panic!("it hung")
        };
        assert_eq!((output.stdout.len(), output.cut), (1000, true));
        assert_eq!(output.exit, Exit::Code(3));
    }

    #[tokio::test]
    async fn at_the_deadline_the_process_and_what_it_started_are_killed() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let script = format!(
            "echo said; sleep 600 & echo $! > {}; wait",
            pid_file.display()
        );
        let ended = sh(&script, Input::Nothing, Duration::from_millis(700), 1000).await;
        let Ended::TimedOut(output) = ended else {
            panic!("it ended")
        };
        assert_eq!(output.stdout, b"said\n");
        let pid: i32 = std::fs::read_to_string(pid_file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let gone = || {
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .map_or(true, |stat| stat.contains(") Z"))
        };
        for _ in 0..100 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {pid} lives on");
    }
}
