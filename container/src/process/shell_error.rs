//! Commands that cannot be executed, reported with the messages and exit codes of a shell.

use std::io;

use rustix::io::Errno;
use sandbox_protocol::event::Exit;

use super::status;

/// The exit code when there is no such program.
pub const NOT_FOUND: i32 = 127;

/// A command that cannot be run, with a shell's message and exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellError {
    /// 127 when there is no such program, 126 when it cannot be executed, 124 when it timed out.
    pub exit_code: i32,
    /// One line for the standard error, without its line feed.
    pub message: String,
    /// Whether the command timed out.
    pub timed_out: bool,
}

impl ShellError {
    /// The error of a program `name` that does not exist.
    pub fn not_found(name: &str, why: &str) -> Self {
        Self {
            exit_code: NOT_FOUND,
            message: format!("{name}: {why}"),
            timed_out: false,
        }
    }

    /// The error of a program `name` that exists but cannot be executed.
    pub fn not_executable(name: &str, why: &str) -> Self {
        Self {
            exit_code: 126,
            message: format!("{name}: {why}"),
            timed_out: false,
        }
    }

    /// The error of a command that timed out before it was started.
    pub fn timed_out(message: String) -> Self {
        Self {
            exit_code: status::TIMED_OUT,
            message,
            timed_out: true,
        }
    }

    /// The exit of a command with this error.
    pub fn exit(&self) -> Exit {
        Exit {
            exit_code: self.exit_code,
            timed_out: self.timed_out,
            ..Exit::default()
        }
    }

    /// The error of a shell for the kernel's error on executing `name`; `None` when the fault is
    /// not the command's.
    pub fn from_kernel(name: &str, error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::NOENT => Some(Self::not_found(name, "cannot execute: required file not found")),
            Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE => None,
            _ => Some(Self::not_executable(name, &os_message(error))),
        }
    }
}

/// The system's message for an error, without the number that Rust adds.
pub fn os_message(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_command_differ_from_errors_of_sandboxd() {
        let error = |errno: Errno| ShellError::from_kernel("x", &errno.into());
        assert_eq!(
            error(Errno::TOOBIG),
            Some(ShellError::not_executable("x", "Argument list too long"))
        );
        assert_eq!(error(Errno::ACCESS).map(|error| error.exit_code), Some(126));
        assert_eq!(error(Errno::NOENT).map(|error| error.exit_code), Some(127));
        assert_eq!(error(Errno::AGAIN), None);
    }
}
