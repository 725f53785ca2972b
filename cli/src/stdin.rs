//! The standard input of a process in a sandbox: each byte is written exactly once.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use reqwest::Method;
use sandbox_protocol::process::{STDIN_OFFSET_HEADER, StdinWritten};
use sandbox_protocol::{ErrorCode, ProcessId, SandboxId};
use tokio::time::sleep;

use crate::error::{Error, Result};
use crate::follow::LINGER;
use crate::http::{Bridge, backoff, json};
use crate::input;

/// The most bytes of one request.
const MAX_BODY: usize = 1 << 20;

/// The open standard input of a process that was just started.
pub struct Stdin {
    bridge: Bridge,
    sandbox: SandboxId,
    process: ProcessId,
    /// The offset of the next byte.
    offset: u64,
}

impl Stdin {
    /// The standard input of a process that has got nothing yet.
    pub fn new(bridge: &Bridge, sandbox: &SandboxId, process: &ProcessId) -> Self {
        Self {
            bridge: bridge.clone(),
            sandbox: sandbox.clone(),
            process: process.clone(),
            offset: 0,
        }
    }

    /// Writes all of this program's input, and closes the process's. A process that reads no more is no
    /// error.
    pub async fn forward(mut self) -> Result<()> {
        match self.forward_all().await {
            Err(error) if is_closed(&error) => Ok(()),
            result => result,
        }
    }

    async fn forward_all(&mut self) -> Result<()> {
        let mut blocks = input::read();
        while let Some(block) = blocks.recv().await {
            let cannot = "the standard input cannot be read";
            let mut body = BytesMut::from(block.map_err(Error::io(cannot))?);
            // One request takes all that was read meanwhile.
            while body.len() < MAX_BODY
                && let Ok(block) = blocks.try_recv()
            {
                body.extend_from_slice(&block.map_err(Error::io(cannot))?);
            }
            self.send(body.freeze(), false).await?;
        }
        self.send(Bytes::new(), true).await
    }

    /// Writes bytes, and closes the standard input behind them if `close` is set.
    async fn send(&mut self, bytes: Bytes, close: bool) -> Result<()> {
        let begin = self.offset;
        let end = begin + bytes.len() as u64;
        let (mut failures, mut first_failure) = (0, None);
        loop {
            let written = usize::try_from(self.offset - begin)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            match self.post(bytes.slice(written..), close).await {
                Ok(written) => {
                    self.offset = written.offset;
                    return Ok(());
                }
                Err(error) if error.is_lost() && is_within_linger(first_failure) => {
                    first_failure.get_or_insert_with(Instant::now);
                    sleep(backoff(failures)).await;
                    failures += 1;
                }
                // After a lost answer, the right offset says what was written.
                Err(Error::Refused {
                    offset: Some(offset),
                    code,
                    message,
                    status,
                }) if failures > 0 && (begin..=end).contains(&offset) => {
                    self.offset = offset;
                    let is_closed = code == ErrorCode::StdinClosed.to_string();
                    if offset == end && is_closed == close {
                        return Ok(());
                    }
                    if is_closed {
                        return Err(Error::Refused {
                            offset: Some(offset),
                            code,
                            message,
                            status,
                        });
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn post(&self, bytes: Bytes, close: bool) -> Result<StdinWritten> {
        let query = if close { "?close=true" } else { "" };
        let path = format!("/process/{}/stdin{query}", self.process);
        let request = self.bridge.sandbox(Method::POST, &self.sandbox, &path);
        let request = request.header("Content-Type", "application/octet-stream");
        json(request.header(STDIN_OFFSET_HEADER, self.offset).body(bytes)).await
    }
}

/// Whether the command still goes on, after failures since this time.
fn is_within_linger(first_failure: Option<Instant>) -> bool {
    first_failure.is_none_or(|time| time.elapsed() < LINGER)
}

/// Whether the process does not read any more, or has ended.
fn is_closed(error: &Error) -> bool {
    let codes = [
        ErrorCode::StdinClosed,
        ErrorCode::ProcessEnded,
        ErrorCode::ProcessNotFound,
    ];
    codes.into_iter().any(|code| error.has_code(code))
}
