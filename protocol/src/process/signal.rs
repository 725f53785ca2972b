//! The body of `POST …/signal`.

use serde_json::Value;

use crate::Invalid;
use crate::json::{self, field, whole};

/// The body of `POST …/signal`: the number of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalRequest {
    /// The number of the signal on Linux.
    pub signal: u32,
}

/// The names of the signals, from 1 on, without their `SIG`.
pub(super) const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The largest number of a signal: real-time signals have no names.
pub(super) const MAX_SIGNAL: u64 = 64;

/// The name of a signal, like `SIGINT`; `None` for a real-time signal.
pub fn signal_name(signal: i32) -> Option<String> {
    let index = usize::try_from(signal).ok()?.checked_sub(1)?;
    SIGNALS.get(index).map(|name| format!("SIG{name}"))
}

impl SignalRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400 for an unknown signal.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let unknown =
            || Invalid::request("signal must be the name or the number of a signal, like SIGINT or 2");
        let signal = match field(&fields, "signal") {
            Some(Value::String(name)) => {
                let short = name.strip_prefix("SIG").unwrap_or(name);
                SIGNALS
                    .iter()
                    .position(|signal| *signal == short)
                    .map(|index| index as u64 + 1)
            }
            Some(value) => whole(value),
            None => None,
        };
        let signal = signal
            .filter(|signal| (1..=MAX_SIGNAL).contains(signal))
            .ok_or_else(unknown)?;
        Ok(Self {
            signal: signal as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (body, signal) in [
            (r#"{"signal":"SIGINT"}"#, Some(2)),
            (r#"{"signal":"TERM"}"#, Some(15)),
            (r#"{"signal":9}"#, Some(9)),
            (r#"{"signal":64}"#, Some(64)),
            (r#"{"signal":0}"#, None),
            (r#"{"signal":65}"#, None),
            (r#"{"signal":"SIGNOPE"}"#, None),
            (r#"{"signal":"int"}"#, None),
            (r#"{}"#, None),
        ] {
            let parsed = SignalRequest::parse(body.as_bytes()).ok();
            assert_eq!(parsed.map(|request| request.signal), signal, "{body}");
        }
    }
}
