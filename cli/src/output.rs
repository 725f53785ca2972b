//! The output of this program.

use std::io::Write as _;

use sandbox_protocol::event::OutputStream;
use tokio::io::{AsyncWrite, AsyncWriteExt as _, Stderr, Stdout};

use crate::error::{Error, Result};

const FAILED: &str = "the output cannot be written";

/// Both outputs, for the bytes of a command.
pub struct Outputs {
    stdout: Stdout,
    stderr: Stderr,
}

impl Outputs {
    /// The outputs of this process.
    pub fn new() -> Self {
        Self {
            stdout: tokio::io::stdout(),
            stderr: tokio::io::stderr(),
        }
    }

    /// Writes bytes, and waits until they are written.
    pub async fn write(&mut self, stream: OutputStream, bytes: &[u8]) -> Result<()> {
        match stream {
            OutputStream::Stdout => write_to(&mut self.stdout, bytes).await,
            OutputStream::Stderr => write_to(&mut self.stderr, bytes).await,
        }
    }
}

async fn write_to(output: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<()> {
    let written = async {
        output.write_all(bytes).await?;
        output.flush().await
    };
    written.await.map_err(Error::io(FAILED))
}

/// Writes text or bytes on the standard output.
pub fn write_all(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(Error::io(FAILED))
}

/// Prints a line on the standard output.
pub fn print(line: &str) -> Result<()> {
    write_all(format!("{line}\n").as_bytes())
}

/// Prints a line for people on the standard error.
pub fn note(line: &str) {
    // Nobody is left to be told.
    let _ = writeln!(std::io::stderr(), "sandbar: {}", crate::error::printable(line));
}
