//! Large files to a host: what arrived is counted and checked there before it gets its name, and a cut connection
//! costs only what had not arrived yet.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::command::{Exit, Progress};
use super::{Command, Host, HostError, Input, Mode};
use crate::event::Observer;

/// What a script ends with if not everything arrived.
const CUT: i32 = 65;
/// What a script ends with if something else arrived.
const OTHER: i32 = 67;
/// How often a cut connection is made again for one file, if nothing more arrives meanwhile.
const PATIENCE: u32 = 4;
/// How long a host whose connection was cut may be out of reach, and how often it is tried.
const OUT_OF_REACH: Duration = Duration::from_secs(20);
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// No file takes longer than this.
const DEADLINE: Duration = Duration::from_hours(1);
/// How often progress is told.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A file that is to be on a host.
#[derive(Clone, Debug)]
pub struct Push<'a> {
    /// The file here.
    pub from: &'a Path,
    /// Its SHA-256 in hex, which was checked before.
    pub sha256: &'a str,
    /// Where it is to be there.
    pub to: &'a str,
    /// Who may read it there.
    pub mode: Mode,
    /// The step that shows how far it is.
    pub step: &'a str,
}

/// Sees that a file is on a host. Says whether it was not.
pub async fn push_file(
    host: &dyn Host,
    push: &Push<'_>,
    observer: &dyn Observer,
) -> Result<bool, HostError> {
    let size = std::fs::metadata(push.from)
        .map_err(|source| HostError::File {
            path: push.from.to_owned(),
            source,
        })?
        .len();
    let (mut failures, mut furthest, mut sent, mut wrong) = (0, 0, false, false);
    let mut cut: Option<Instant> = None;
    loop {
        let lost = match begin(host, push, size).await {
            Ok(None) => return Ok(sent),
            Ok(Some(there)) => {
                cut = None;
                if there > furthest {
                    (failures, furthest) = (0, there);
                }
                sent = true;
                match send(host, push, size, there, observer).await {
                    Ok(()) => return Ok(true),
                    // A part that a broken disk or another writer spoiled is gone now: once more from the beginning.
                    Err(HostError::Checksum { .. }) if !wrong => {
                        wrong = true;
                        continue;
                    }
                    Err(error) if error.is_lost() => error,
                    Err(error) => return Err(error),
                }
            }
            Err(error) if error.is_lost() => error,
            Err(HostError::Unreachable { .. })
                if cut.is_some_and(|cut| cut.elapsed() < OUT_OF_REACH) =>
            {
                observer.waiting(push.step, format!("{} to be reached again", host.name()));
                tokio::time::sleep(TRY_AGAIN).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        cut.get_or_insert_with(Instant::now);
        failures += 1;
        if failures > PATIENCE {
            return Err(lost);
        }
        observer.note(format!("{lost}: it goes on from what arrived"));
        tokio::time::sleep(Duration::from_millis(250 << failures)).await;
    }
}

fn about(push: &Push<'_>) -> String {
    format!("put {}", push.to)
}

/// How much is there already; `None`: all of it, under its name. Parts of other versions go.
async fn begin(host: &dyn Host, push: &Push<'_>, size: u64) -> Result<Option<u64>, HostError> {
    let script = r#"set -eu
folder=$(dirname -- "$1"); name=$(basename -- "$1"); part=$folder/.$name.$2.part
[ -d "$folder" ] || mkdir -p -- "$folder"
for other in "$folder/.$name".*.part; do
  [ "$other" = "$part" ] || rm -f -- "$other"
done
if [ -f "$1" ] && [ "$(stat -c %s -- "$1")" = "$4" ] && [ "$(sha256sum < "$1")" = "$2  -" ]; then
  chmod "$3" -- "$1"; rm -f -- "$part"; echo there; exit
fi
stat -c %s -- "$part" 2>/dev/null || echo 0"#;
    let about = about(push);
    let size_text = size.to_string();
    let arguments = [push.to, push.sha256, push.mode.as_octal(), &size_text];
    let command = Command::script(about.clone(), script, arguments)
        .deadline(Duration::from_mins(5))
        .as_root();
    let answer = host.run_well(command).await?.text();
    match answer.trim() {
        "there" => Ok(None),
        number => {
            let there: u64 = number.parse().map_err(|_| HostError::Unexpected {
                host: host.name().to_owned(),
                about,
                reason: format!("the size of a part is `{number}`"),
            })?;
            Ok(Some(if there > size { 0 } else { there }))
        }
    }
}

/// Sends what is missing, checks all of it, and gives it its name.
async fn send(
    host: &dyn Host,
    push: &Push<'_>,
    size: u64,
    there: u64,
    observer: &dyn Observer,
) -> Result<(), HostError> {
    // Each writer writes at its own place and the same bytes: one that a lost connection left behind does no harm.
    let script = format!(
        r#"set -eu
umask 077
folder=$(dirname -- "$1"); name=$(basename -- "$1"); part=$folder/.$name.$2.part
[ "$5" != 0 ] || rm -f -- "$part"
dd of="$part" bs=1M iflag=fullblock oflag=seek_bytes seek="$5" conv=notrunc status=none || {{ rm -f -- "$part"; exit 1; }}
[ "$(stat -c %s -- "$part")" = "$4" ] || exit {CUT}
sum=$(sha256sum < "$part"); sum=${{sum%% *}}
[ "$sum" = "$2" ] || {{ rm -f -- "$part"; printf '%s' "$sum"; exit {OTHER}; }}
chown 0:0 -- "$part"
chmod "$3" -- "$part"
sync -- "$part"
mv -f -- "$part" "$1"
sync -- "$folder""#
    );
    let about = about(push);
    let (size_text, there_text) = (size.to_string(), there.to_string());
    let at = Progress::default();
    let arguments = [
        push.to,
        push.sha256,
        push.mode.as_octal(),
        &size_text,
        &there_text,
    ];
    let command = Command::script(about.clone(), &script, arguments)
        .input(Input::File {
            path: push.from.to_owned(),
            offset: there,
            at: at.clone(),
        })
        .deadline(DEADLINE)
        .as_root();
    let mut every = tokio::time::interval(LOOK_EVERY);
    let mut running = host.run(command);
    let output = loop {
        tokio::select! {
            output = &mut running => break output?,
            _ = every.tick() => {
                observer.waiting(push.step, progress(push, host.name(), at.get(), size));
            }
        }
    };
    match output.exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(CUT) => Err(HostError::Lost {
            host: host.name().to_owned(),
            about,
            reason: "not all of it arrived".to_owned(),
        }),
        Exit::Code(OTHER) => Err(HostError::Checksum {
            host: host.name().to_owned(),
            about,
            expected: push.sha256.to_owned(),
            found: output.text(),
        }),
        _ => Err(HostError::of_output(host.name(), about, &output)),
    }
}

fn progress(push: &Push<'_>, host: &str, at: u64, size: u64) -> String {
    let name = Path::new(push.to).file_name().map_or_else(
        || push.to.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    format!(
        "{name} to reach {host} ({:.0} of {:.0} MiB)",
        mebibytes(at),
        mebibytes(size)
    )
}

/// The SHA-256 of a file of this machine, in hex.
pub fn sha256_of(path: &Path) -> Result<String, HostError> {
    let failed = |source: io::Error| HostError::File {
        path: PathBuf::from(path),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk).map_err(failed)? {
            0 => return Ok(hex::encode(digest.finalize())),
            read => digest.update(&chunk[..read]),
        }
    }
}
