//! From what a command writes to the events that say it.
//!
//! Bytes are read only when there is room for the event that they become, so a client that does not read makes the
//! command wait in its `write`, and `sandboxd` holds a few events of each command at most.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use sandbox_protocol::Event;
use sandbox_protocol::event::{MAX_OUTPUT, OutputStream};
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::pipe::Output;
use super::text;
use crate::quota::{Buffers, Quota, Room};

/// The most that is read at once, in bytes.
const LARGE_READ: usize = 4 * MAX_OUTPUT;

/// The size of the first read, in bytes: most commands write less, and most of many commands at a time are silent.
const SMALL_READ: usize = 4096;

/// The bytes that a command's buffers have with large reads: the read itself, the events that wait for the client and
/// on their way to it, and the pipe.
const LARGE_ROOM: u64 = 1280 * 1024;

/// How soon the pipes of a command that leaves nobody are at their end.
const MOMENT: Duration = Duration::from_millis(50);

/// Both outputs of a command, and the stream of events that they go to.
#[derive(Debug)]
pub struct Outputs {
    outputs: [Output; 2],
    events: Sender<Bytes>,
    last_id: u64,
    room: Vec<u8>,
    buffers: Buffers,
    /// Taken when `room` is large.
    large: Option<Room>,
}

/// The outputs of a command that has ended.
#[derive(Debug)]
pub struct Leftover([Output; 2]);

impl Leftover {
    /// Throws away whatever else comes through the pipes until the last process that holds them has closed them: a child
    /// in the background must neither wait nor die of SIGPIPE. As many may be drained at a time as `quota` says; the pipes
    /// of the others are closed.
    pub async fn drain(mut self, quota: &Quota) {
        for output in &mut self.0 {
            output.everything_counts();
        }
        let mut drained = std::pin::pin!(async {
            while self.0.iter().any(Output::is_held) {
                discard(&mut self.0).await;
            }
        });
        // Most commands leave nobody, and their pipes are at their end.
        if timeout(MOMENT, &mut drained).await.is_ok() {
            return;
        }
        match quota.take() {
            Ok(_permit) => drained.await,
            Err(e) => tracing::warn!(error = %e, "processes in the background lose their output"),
        }
    }
}

impl Outputs {
    /// The outputs of a command that are read from these pipes and sent to `events`, in large pieces if `buffers` have
    /// room for them.
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
            room: Vec::new(),
            buffers,
            large: None,
        })
    }

    /// The command has ended: only what it has written until now counts.
    pub fn command_ended(&mut self) {
        self.outputs.iter_mut().for_each(Output::command_ended);
    }

    /// Sends the next of the output, when there is some and when there is room for it. Without a client it is thrown
    /// away. Never returns at the end of the output. May be dropped at any time, and loses nothing by that.
    pub async fn forward(&mut self) {
        let Self {
            outputs,
            events,
            last_id,
            room,
            buffers,
            large,
        } = self;
        let Ok(permit) = events.reserve().await else {
            return discard(outputs).await;
        };
        let [stdout, stderr] = outputs;
        let output = tokio::select! {
            () = stdout.ready() => stdout,
            () = stderr.ready() => stderr,
        };
        let is_full = !room.is_empty() && room.len() == room.capacity();
        room.clear();
        if is_full && large.is_none() {
            // There is much to read. Where other commands have taken all the room, it is read in small pieces.
            *large = buffers.take(LARGE_ROOM).ok();
            if large.is_some() {
                output.enlarge();
                room.reserve_exact(LARGE_READ);
            }
        } else if room.capacity() == 0 {
            room.reserve_exact(SMALL_READ);
        }
        let bytes = output.read(room);
        if bytes.is_empty() {
            return;
        }
        let mut wire = Vec::with_capacity(text::wire_size(bytes.len()));
        for piece in text::pieces(bytes) {
            *last_id += 1;
            output.stream.write_event(Some(*last_id), piece, &mut wire);
        }
        permit.send(wire.into());
    }

    /// Sends all the output that is left, once the [command has ended](Self::command_ended).
    pub async fn forward_all(&mut self) {
        while self.outputs.iter().any(Output::is_wanted) {
            self.forward().await;
        }
    }

    /// Sends a line of our own, as if the command had written it to its standard error.
    pub async fn say(&mut self, line: &str) {
        let mut wire = Vec::new();
        for piece in text::pieces(format!("{line}\n").as_bytes()) {
            self.last_id += 1;
            OutputStream::Stderr.write_event(Some(self.last_id), piece, &mut wire);
        }
        let _ = self.events.send(wire.into()).await;
    }

    /// Sends the last event and ends the stream.
    pub async fn finish(mut self, event: &Event) -> Leftover {
        self.last_id += 1;
        let mut wire = Vec::new();
        event.write_to(Some(self.last_id), &mut wire);
        // An error says that the client is gone, and with it whoever wanted to know.
        let _ = self.events.send(wire.into()).await;
        Leftover(self.outputs)
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
