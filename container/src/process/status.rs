//! The exit status of a command, as its `exit` event reports it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use sandbox_protocol::event::Exit;
use sandbox_protocol::process::signal_name;

/// The exit code of a command that timed out.
pub const TIMED_OUT: i32 = 124;

/// The exit of a command that `sandboxd` did not end.
pub fn ended(status: ExitStatus) -> Exit {
    match status.signal() {
        Some(signal) => Exit {
            exit_code: 128 + signal,
            signal: Some(signal_text(signal)),
            ..Exit::default()
        },
        None => Exit {
            exit_code: status.code().unwrap_or_default(),
            ..Exit::default()
        },
    }
}

/// The exit of a command that timed out; without a status if even SIGKILL has not ended it yet.
pub fn timed_out(status: Option<ExitStatus>) -> Exit {
    Exit {
        exit_code: TIMED_OUT,
        signal: status.and_then(|status| status.signal()).map(signal_text),
        timed_out: true,
        ..Exit::default()
    }
}

fn signal_text(signal: i32) -> String {
    signal_name(signal).unwrap_or_else(|| format!("SIGRTMIN+{}", signal - 34))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let exit = ended(ExitStatus::from_raw(7 << 8));
        assert_eq!((exit.exit_code, exit.signal), (7, None));
        let exit = ended(ExitStatus::from_raw(11));
        assert_eq!((exit.exit_code, exit.signal.as_deref()), (139, Some("SIGSEGV")));
        let exit = ended(ExitStatus::from_raw(35));
        assert_eq!(
            (exit.exit_code, exit.signal.as_deref()),
            (163, Some("SIGRTMIN+1"))
        );
        let exit = timed_out(Some(ExitStatus::from_raw(15)));
        assert_eq!(
            (exit.exit_code, exit.signal.as_deref(), exit.timed_out),
            (124, Some("SIGTERM"), true)
        );
        assert_eq!(signal_text(31), "SIGSYS");
    }
}
