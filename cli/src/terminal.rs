//! The terminal of this program.

use std::io::{self, IsTerminal as _};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use sandbox_protocol::pty::Size;

use crate::error::{Error, Result};

/// A terminal in raw mode: every key goes to the program in the sandbox. The drop restores it.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Sets the raw mode. `None`: the standard input is no terminal.
    pub fn new() -> Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let failed = |error: rustix::io::Errno| Error::io("the terminal")(error.into());
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is no terminal any more if this fails.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The size of the window, if there is one.
pub fn size() -> Option<Size> {
    let size = [tcgetwinsize(io::stdout()), tcgetwinsize(io::stdin())]
        .into_iter()
        .find_map(std::result::Result::ok)?;
    Size::new(
        size.ws_col.clamp(1, 1000).into(),
        size.ws_row.clamp(1, 1000).into(),
    )
    .ok()
}
