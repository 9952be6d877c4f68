//! Small files on a host: read whole, written whole or not at all.

use super::command::Exit;
use super::{Command, Host, HostError, Input};

/// What a script ends with if the file is not there.
const ABSENT: i32 = 66;
/// What a script ends with if its input was cut.
const CUT: i32 = 65;

/// Who may read a file: its mode; it belongs to root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only its owner: 0600.
    Private,
    /// Everybody: 0644.
    Public,
    /// Everybody, who may also run it: 0755.
    Program,
}

impl Mode {
    /// As `chmod` takes it.
    pub fn as_octal(self) -> &'static str {
        match self {
            Self::Private => "0600",
            Self::Public => "0644",
            Self::Program => "0755",
        }
    }
}

/// Reads a file as root; `None`: there is none.
pub async fn read_file(host: &dyn Host, path: &str) -> Result<Option<Vec<u8>>, HostError> {
    let about = format!("read {path}");
    let script = format!("[ -e \"$1\" ] || exit {ABSENT}\ncat -- \"$1\"");
    let output = host
        .run(Command::script(about.clone(), &script, [path]).as_root())
        .await?;
    if output.exit == Exit::Code(ABSENT) {
        return Ok(None);
    }
    if output.cut {
        return Err(HostError::Unexpected {
            host: host.name().to_owned(),
            about,
            reason: "it is larger than it can be".to_owned(),
        });
    }
    if output.is_success() {
        Ok(Some(output.stdout))
    } else {
        Err(HostError::of_output(host.name(), about, &output))
    }
}

/// Writes a file as root, with its folder if that is missing. A reader sees all of the old content or all of the new,
/// and so does who comes after a cut connection or a lost machine.
pub async fn write_file(
    host: &dyn Host,
    path: &str,
    content: &[u8],
    mode: Mode,
) -> Result<(), HostError> {
    let about = format!("write {path}");
    // What arrives is counted, since the end of a cut connection looks like the end of the content.
    let script = format!(
        r#"set -eu
umask 077
folder=$(dirname -- "$1"); new=$folder/.$(basename -- "$1").new
[ -d "$folder" ] || (umask 022; mkdir -p -- "$folder")
trap 'rm -f -- "$new"' EXIT
rm -f -- "$new"
cat > "$new"
[ "$(wc -c < "$new")" -eq "$2" ] || exit {CUT}
chown 0:0 -- "$new"
chmod "$3" -- "$new"
sync -- "$new"
mv -f -- "$new" "$1"
sync -- "$folder""#
    );
    let size = content.len().to_string();
    let command = Command::script(about.clone(), &script, [path, &size, mode.as_octal()])
        .input(Input::Bytes(content.to_vec()))
        .as_root();
    let output = host.run(command).await?;
    match output.exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(CUT) => Err(HostError::Lost {
            host: host.name().to_owned(),
            about,
            reason: "not all of it arrived".to_owned(),
        }),
        _ => Err(HostError::of_output(host.name(), about, &output)),
    }
}

/// Removes a file as root. That it is not there is well.
pub async fn remove_file(host: &dyn Host, path: &str) -> Result<(), HostError> {
    let command = Command::new(format!("remove {path}"), ["rm", "-f", "--", path]).as_root();
    host.run_well(command).await.map(drop)
}
