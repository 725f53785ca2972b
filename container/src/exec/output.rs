//! Turns the output of a command into events.
//!
//! Bytes are read only when the [log](super::event_log) is ready for them, so an owner that does not read
//! makes the command wait in its `write`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use sandbox_protocol::event::{MAX_OUTPUT, OutputStream};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::event_log::EventLog;
use crate::process::pipe::Output;
use crate::quota::{BufferPermit, Buffers, Quota};

/// The maximum size of a read, in bytes.
const LARGE_READ: usize = 4 * MAX_OUTPUT;

/// The size of the first read, in bytes: most commands write less, and of many concurrent commands
/// most are silent.
const SMALL_READ: usize = 4096;

/// The size of a command's buffers with large reads, in bytes: the read itself, the events that
/// wait for the client and on their way to it, and the pipe.
const LARGE_BUFFER_SIZE: u64 = 1280 * 1024;

/// The time within which the pipes of a command without background processes are at their end.
const PIPE_END_TIMEOUT: Duration = Duration::from_millis(50);

/// Both outputs of a command, and the log that they are written to.
#[derive(Debug)]
pub struct Outputs {
    outputs: [Output; 2],
    log: Arc<EventLog>,
    buffer: Vec<u8>,
    /// Whether the last read has filled `buffer`.
    is_full: bool,
    buffers: Buffers,
    /// Taken when reads are large.
    large_permit: Option<BufferPermit>,
}

/// The outputs of a command that has ended.
#[derive(Debug)]
pub struct RemainingOutput([Output; 2]);

impl RemainingOutput {
    /// Discards further output until the last process that holds the pipes has closed them: a
    /// background process must neither wait nor die of SIGPIPE. `quota` limits how many commands
    /// are drained at a time; the pipes of the others are closed.
    pub async fn drain(mut self, quota: &Quota) {
        for output in &mut self.0 {
            output.everything_counts();
        }
        let mut drained = std::pin::pin!(async {
            while self.0.iter().any(Output::is_held) {
                discard(&mut self.0).await;
            }
        });
        // Most commands leave no background process, and their pipes are at their end.
        if timeout(PIPE_END_TIMEOUT, &mut drained).await.is_ok() {
            return;
        }
        match quota.take() {
            Ok(_permit) => drained.await,
            Err(e) => tracing::warn!(error = %e, "commands in the background lose their output"),
        }
    }
}

impl Outputs {
    /// The outputs that are read from these pipes and written to `log`, in large pieces if `buffers`
    /// have a permit for them.
    pub fn new(stdout: OwnedFd, stderr: OwnedFd, log: Arc<EventLog>, buffers: Buffers) -> io::Result<Self> {
        Ok(Self {
            outputs: [
                Output::new(stdout, OutputStream::Stdout)?,
                Output::new(stderr, OutputStream::Stderr)?,
            ],
            log,
            buffer: Vec::new(),
            is_full: false,
            buffers,
            large_permit: None,
        })
    }

    /// Ends the output of the command: only bytes that are written by now count.
    pub fn command_ended(&mut self) {
        self.outputs.iter_mut().for_each(Output::command_ended);
    }

    /// Writes the next piece of output to the log, once there is some and the log is ready. Never
    /// returns at the end of the output. Cancel-safe.
    pub async fn forward(&mut self) {
        let Self {
            outputs,
            log,
            buffer,
            is_full,
            buffers,
            large_permit,
        } = self;
        log.ready().await;
        let [stdout, stderr] = outputs;
        let output = tokio::select! {
            () = stdout.ready() => stdout,
            () = stderr.ready() => stderr,
        };
        if std::mem::take(is_full) && large_permit.is_none() {
            // There is much to read. When other commands have used up the buffers, it is read in
            // small pieces.
            *large_permit = buffers.take(LARGE_BUFFER_SIZE).ok();
            if large_permit.is_some() {
                output.enlarge();
            }
        }
        buffer.clear();
        buffer.reserve_exact(if large_permit.is_some() {
            LARGE_READ
        } else {
            SMALL_READ
        });
        output.read(buffer);
        *is_full = buffer.len() == buffer.capacity();
        log.append(output.stream, buffer);
        if log.has_only_followers() {
            // Those that are ready run before the next read, which then finds more.
            yield_now().await;
        }
    }

    /// Writes the rest of the output, once the [command has ended](Self::command_ended).
    pub async fn forward_all(&mut self) {
        while self.outputs.iter().any(Output::is_wanted) {
            self.forward().await;
        }
    }

    /// The pipes of a command that has ended, which its children may still hold.
    pub fn remaining(self) -> RemainingOutput {
        RemainingOutput(self.outputs)
    }
}

async fn discard(outputs: &mut [Output; 2]) {
    let [stdout, stderr] = outputs;
    let output = tokio::select! {
        () = stdout.ready() => stdout,
        () = stderr.ready() => stderr,
    };
    output.discard();
}
