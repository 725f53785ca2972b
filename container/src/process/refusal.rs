//! Commands that are not executed, told in the words and with the exit codes of a shell.

use std::io;

use rustix::io::Errno;
use sandbox_protocol::Event;
use sandbox_protocol::event::{Exit, OutputStream};

use super::{status, text};

/// A command that cannot be run: what a shell would say and return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 127 when there is no such program, 126 when it cannot be executed, 124 when its time was over.
    pub exit_code: i32,
    /// One line for the standard error, without its line feed.
    pub words: String,
}

impl Refusal {
    /// There is no program `name`.
    pub fn not_found(name: &str, why: &str) -> Self {
        Self {
            exit_code: 127,
            words: format!("{name}: {why}"),
        }
    }

    /// There is a program `name`, but it cannot be executed.
    pub fn not_executable(name: &str, why: &str) -> Self {
        Self {
            exit_code: 126,
            words: format!("{name}: {why}"),
        }
    }

    /// The time of a command was over before those before it in its session had ended.
    pub fn timed_out(session: &str) -> Self {
        Self {
            exit_code: status::TIMED_OUT,
            words: format!("timed out before the earlier commands of session {session} had ended"),
        }
    }

    /// What a shell says when the kernel refuses to execute `name`; `None` when the fault is not the command's.
    pub fn of_kernel(name: &str, error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::NOENT => Some(Self::not_found(name, "cannot execute: required file not found")),
            Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE => None,
            _ => Some(Self::not_executable(name, &reason(error))),
        }
    }
}

impl Refusal {
    /// The events of a command that said these words and ended, on the wire.
    pub fn into_wire(self) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut id = 0;
        for piece in text::pieces(format!("{}\n", self.words).as_bytes()) {
            id += 1;
            OutputStream::Stderr.write_event(Some(id), piece, &mut wire);
        }
        let exit = Exit {
            exit_code: self.exit_code,
            timed_out: self.exit_code == status::TIMED_OUT,
            ..Exit::default()
        };
        Event::Exit(exit).write_to(Some(id + 1), &mut wire);
        wire
    }
}

/// The system's words for an error, without the number that Rust adds.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_command_are_told_apart_from_ours() {
        let refusal = |errno: Errno| Refusal::of_kernel("x", &errno.into());
        assert_eq!(
            refusal(Errno::TOOBIG),
            Some(Refusal::not_executable("x", "Argument list too long"))
        );
        assert_eq!(refusal(Errno::ACCESS).map(|refusal| refusal.exit_code), Some(126));
        assert_eq!(refusal(Errno::NOENT).map(|refusal| refusal.exit_code), Some(127));
        assert_eq!(refusal(Errno::AGAIN), None);
    }
}
