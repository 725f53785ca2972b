//! The first input of a terminal decides what it runs: an interactive shell or one command line.

use std::ffi::OsString;

use bytes::Bytes;
use sandbox_protocol::pty::Mode;

use super::device::Discipline;

/// Variables of an interactive shell: today's emulators are compatible with this `TERM`.
const KEYBOARD_ENV: [(&str, &str); 1] = [("TERM", "xterm-256color")];

/// Variables of a command line. A program at the other end presses no key in a pager and renders no
/// escape sequence.
const PROGRAM_ENV: [(&str, &str); 5] = [
    ("TERM", "dumb"),
    ("PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("MANPAGER", "cat"),
    ("SYSTEMD_PAGER", "cat"),
];

/// The program that a terminal is to run.
#[derive(Debug, PartialEq, Eq)]
pub enum Job {
    /// An interactive shell, with its first input.
    Shell(Bytes),
    /// A command line.
    Command(String),
}

impl Job {
    /// The job that `first`, the first binary frame, requests. Fails when it has to be a command
    /// and cannot be one.
    pub fn from_input(mode: Mode, first: Bytes) -> Result<Self, String> {
        let line = match mode {
            Mode::Shell => None,
            Mode::Auto => line_of_program(&first)
                .and_then(text)
                .filter(|line| !line.trim_ascii().is_empty()),
            Mode::Command => {
                let line = line_of_program(&first).unwrap_or(&first);
                Some(text(line).ok_or("a command line must be UTF-8 without NUL")?)
            }
        };
        Ok(match line {
            Some(line) => Self::Command(line.to_owned()),
            None => Self::Shell(first),
        })
    }

    /// The variables that describe this terminal to programs. The session's own override those of a
    /// command line.
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        let variables = match self {
            Self::Shell(_) => &KEYBOARD_ENV[..],
            Self::Command(_) => &PROGRAM_ENV[..],
        };
        variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// The kind of client at the other end.
    pub fn discipline(&self) -> Discipline {
        match self {
            Self::Shell(_) => Discipline::Keyboard,
            Self::Command(_) => Discipline::Program,
        }
    }
}

/// The command line in `frame`, without its line end; `None` when it does not end like a line of a
/// program. It may contain more line ends: in a quoted argument.
fn line_of_program(frame: &[u8]) -> Option<&[u8]> {
    let line = frame.strip_suffix(b"\n")?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The text of `line`; `None` when it cannot be an argument.
fn text(line: &[u8]) -> Option<&str> {
    str::from_utf8(line).ok().filter(|line| !line.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(mode: Mode, first: &[u8]) -> Result<Job, String> {
        Job::from_input(mode, Bytes::copy_from_slice(first))
    }

    #[test]
    fn programs_send_lf_where_terminals_send_cr() {
        for (first, line) in [
            ("ls\n", "ls"),
            ("ls -l\r\n", "ls -l"),
            ("printf 'a\nb'\n", "printf 'a\nb'"),
            (" \\\n\n", " \\\n"),
        ] {
            let expected = Ok(Job::Command(line.into()));
            assert_eq!(job(Mode::Auto, first.as_bytes()), expected, "{first:?}");
            assert_eq!(job(Mode::Command, first.as_bytes()), expected, "{first:?}");
        }
    }

    #[test]
    fn everything_else_is_the_first_input_of_a_shell() {
        for first in [
            &b"l"[..],
            b"ls\r",
            b"\r",
            b"\n",
            b" \n",
            b"\x03",
            b"ls\n#",
            b"a\0\n",
        ] {
            let expected = Ok(Job::Shell(Bytes::copy_from_slice(first)));
            assert_eq!(job(Mode::Auto, first), expected, "{first:?}");
            assert_eq!(job(Mode::Shell, first), expected, "{first:?}");
        }
        assert_eq!(
            job(Mode::Shell, b"ls\n"),
            Ok(Job::Shell(Bytes::from_static(b"ls\n")))
        );
    }

    #[test]
    fn a_command_needs_no_line_end_where_it_can_be_nothing_else() {
        assert_eq!(job(Mode::Command, b"ls"), Ok(Job::Command("ls".into())));
        assert_eq!(job(Mode::Command, b"\n"), Ok(Job::Command("".into())));
        assert!(job(Mode::Command, b"a\0b\n").is_err());
        assert!(job(Mode::Command, b"\xff").is_err());
    }
}
