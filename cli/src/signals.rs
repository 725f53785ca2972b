//! The signals that end this program.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// A signal that ends programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndSignal {
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub number: i32,
}

impl EndSignal {
    const INTERRUPT: Self = Self {
        name: "SIGINT",
        number: 2,
    };
    const HANG_UP: Self = Self {
        name: "SIGHUP",
        number: 1,
    };
    const QUIT: Self = Self {
        name: "SIGQUIT",
        number: 3,
    };
    const TERMINATE: Self = Self {
        name: "SIGTERM",
        number: 15,
    };
}

/// The signals since this was made.
pub struct Signals {
    interrupt: Signal,
    hang_up: Signal,
    terminate: Signal,
    quit: Signal,
}

impl Signals {
    /// From now on, these signals do not end the program by themselves.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(Error::io("signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            quit: listen(SignalKind::quit())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.interrupt.recv() => EndSignal::INTERRUPT,
            _ = self.hang_up.recv() => EndSignal::HANG_UP,
            _ = self.terminate.recv() => EndSignal::TERMINATE,
            _ = self.quit.recv() => EndSignal::QUIT,
        }
    }
}
