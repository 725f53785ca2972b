//! Turns the output of a command into events.
//!
//! Bytes are read only when the channel has a free slot for their event, so a client that does not
//! read makes the command wait in its `write`, and `sandboxd` holds a few events of each command at
//! most.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use sandbox_protocol::Event;
use sandbox_protocol::event::{MAX_OUTPUT, OutputStream};
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use crate::process::pipe::Output;
use crate::process::utf8;
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

/// Both outputs of a command, and the stream of events that they are sent to.
#[derive(Debug)]
pub struct Outputs {
    outputs: [Output; 2],
    events: Sender<Bytes>,
    last_id: u64,
    buffer: Vec<u8>,
    buffers: Buffers,
    /// Taken when `buffer` is large.
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
    /// The outputs that are read from these pipes and sent to `events`, in large pieces if
    /// `buffers` have a permit for them.
    pub fn new(
        stdout: OwnedFd,
        stderr: OwnedFd,
        events: Sender<Bytes>,
        buffers: Buffers,
    ) -> io::Result<Self> {
        Ok(Self {
            outputs: [
                Output::new(stdout, OutputStream::Stdout)?,
                Output::new(stderr, OutputStream::Stderr)?,
            ],
            events,
            last_id: 0,
            buffer: Vec::new(),
            buffers,
            large_permit: None,
        })
    }

    /// Ends the output of the command: only bytes that are written by now count.
    pub fn command_ended(&mut self) {
        self.outputs.iter_mut().for_each(Output::command_ended);
    }

    /// Sends the next piece of output, once there is some and the channel has a free slot. Without
    /// a client it is discarded. Never returns at the end of the output. Cancel-safe.
    pub async fn forward(&mut self) {
        let Self {
            outputs,
            events,
            last_id,
            buffer,
            buffers,
            large_permit,
        } = self;
        let Ok(permit) = events.reserve().await else {
            return discard(outputs).await;
        };
        let [stdout, stderr] = outputs;
        let output = tokio::select! {
            () = stdout.ready() => stdout,
            () = stderr.ready() => stderr,
        };
        let is_full = !buffer.is_empty() && buffer.len() == buffer.capacity();
        buffer.clear();
        if is_full && large_permit.is_none() {
            // There is much to read. When other commands have used up the buffers, it is read in
            // small pieces.
            *large_permit = buffers.take(LARGE_BUFFER_SIZE).ok();
            if large_permit.is_some() {
                output.enlarge();
                buffer.reserve_exact(LARGE_READ);
            }
        } else if buffer.capacity() == 0 {
            buffer.reserve_exact(SMALL_READ);
        }
        let bytes = output.read(buffer);
        if bytes.is_empty() {
            return;
        }
        let mut wire = Vec::with_capacity(utf8::wire_size(bytes.len()));
        for piece in utf8::pieces(bytes) {
            *last_id += 1;
            output.stream.write_event(Some(*last_id), piece, &mut wire);
        }
        permit.send(wire.into());
    }

    /// Sends the rest of the output, once the [command has ended](Self::command_ended).
    pub async fn forward_all(&mut self) {
        while self.outputs.iter().any(Output::is_wanted) {
            self.forward().await;
        }
    }

    /// Sends a line of `sandboxd`, as if the command had written it to its standard error.
    pub async fn write_line(&mut self, line: &str) {
        let mut wire = Vec::new();
        for piece in utf8::pieces(format!("{line}\n").as_bytes()) {
            self.last_id += 1;
            OutputStream::Stderr.write_event(Some(self.last_id), piece, &mut wire);
        }
        let _ = self.events.send(wire.into()).await;
    }

    /// Sends the last event and ends the stream.
    pub async fn finish(mut self, event: &Event) -> RemainingOutput {
        self.last_id += 1;
        let mut wire = Vec::new();
        event.write_to(Some(self.last_id), &mut wire);
        // Fails when the client is gone.
        let _ = self.events.send(wire.into()).await;
        RemainingOutput(self.outputs)
    }

    /// The channel to the client's connection.
    pub fn events(&self) -> Sender<Bytes> {
        self.events.clone()
    }

    /// Resolves when the client is gone.
    pub fn client_gone(&self) -> impl Future<Output = ()> + use<> {
        let events = self.events.clone();
        async move { events.closed().await }
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
