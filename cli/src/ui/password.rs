//! Asks for the password that sudo wants on a host, once, where nobody can read along.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::host::{Password, SudoPasswords};

/// Passwords for sudo: from the environment, from a file, or from whoever sits at the terminal. One is enough for all
/// hosts.
#[derive(Debug, Default)]
pub struct AskedPassword {
    variable: Option<String>,
    file: Option<PathBuf>,
    terminal: Option<PathBuf>,
    known: Mutex<Option<Password>>,
}

impl AskedPassword {
    /// As `SHOPCTL_SUDO_PASSWORD` and `SHOPCTL_SUDO_PASSWORD_FILE` say, and otherwise from the terminal.
    pub fn of_this_process() -> Self {
        Self {
            variable: std::env::var("SHOPCTL_SUDO_PASSWORD").ok(),
            file: std::env::var_os("SHOPCTL_SUDO_PASSWORD_FILE").map(PathBuf::from),
            terminal: Some(PathBuf::from("/dev/tty")),
            known: Mutex::new(None),
        }
    }

    fn find(&self, host: &str, user: &str) -> Option<Password> {
        if let Some(password) = &self.variable {
            return Some(Password::new(password));
        }
        if let Some(file) = &self.file {
            return std::fs::read_to_string(file)
                .ok()
                .map(|text| Password::new(&text));
        }
        let terminal = self.terminal.as_ref()?;
        let terminal = OpenOptions::new()
            .read(true)
            .write(true)
            .open(terminal)
            .ok()?;
        ask(
            terminal,
            &format!("Password of {user} for sudo on {host}: "),
        )
        .ok()?
    }
}

impl SudoPasswords for AskedPassword {
    fn password(&self, host: &str, user: &str) -> Option<Password> {
        // Several hosts ask at once: the others wait for the answer to the first.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = self.find(host, user);
        }
        known.clone()
    }
}

/// The terminal as it was, whatever happens meanwhile.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks on a terminal without showing the answer. `None`: Ctrl-C or Ctrl-D, which the terminal hands on as they are.
fn ask(terminal: File, question: &str) -> io::Result<Option<Password>> {
    let before = tcgetattr(&terminal)?;
    let mut modes = before.clone();
    modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    tcsetattr(&terminal, OptionalActions::Flush, &modes)?;
    let mut quiet = Quiet { terminal, before };
    write!(quiet.terminal, "{question}")?;
    let answer = read_line(&mut quiet.terminal);
    writeln!(quiet.terminal)?;
    answer
}

fn read_line(from: &mut impl Read) -> io::Result<Option<Password>> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        if from.read(&mut byte)? == 0 {
            return Ok(None);
        }
        match byte[0] {
            b'\r' | b'\n' => break,
            3 | 4 => return Ok(None),
            8 | 0x7f => drop(line.pop()),
            other => line.push(other),
        }
    }
    Ok(Some(Password::new(&String::from_utf8_lossy(&line))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_enter_and_ctrl_c_is_none() {
        let read = |bytes: &[u8]| read_line(&mut &bytes[..]).unwrap();
        assert_eq!(read(b"right\nrest"), Some(Password::new("right")));
        assert_eq!(read(b"wrogn\x7f\x7fng\r"), Some(Password::new("wrong")));
        assert_eq!(read(b"ri\x03"), None);
        assert_eq!(read(b"ri"), None);
    }

    #[test]
    fn the_variable_comes_before_the_file_and_nobody_is_asked_without_a_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "of the file\n").unwrap();
        let mut passwords = AskedPassword {
            file: Some(file),
            ..AskedPassword::default()
        };
        assert_eq!(
            passwords.password("a", "b"),
            Some(Password::new("of the file"))
        );
        passwords = AskedPassword {
            variable: Some("of the variable".to_owned()),
            ..passwords
        };
        passwords.known = Mutex::new(None);
        assert_eq!(
            passwords.password("a", "b"),
            Some(Password::new("of the variable"))
        );
        assert_eq!(AskedPassword::default().password("a", "b"), None);
    }
}
