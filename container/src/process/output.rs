//! From what a command writes to the events that say it.
//!
//! Bytes are read only when there is room for the event that they become, so a client that does not read makes the
//! command wait in its `write`, and `sandboxd` holds a few events of each command at most.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::ioctl_fionread;
use rustix::pipe::{SpliceFlags, splice};
use sandbox_protocol::Event;
use sandbox_protocol::event::{MAX_OUTPUT, OutputStream};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until, timeout};

use super::watched::watch;
use super::{spawn, text};
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

/// How long the beginning of a character waits for its end.
const CARRY: Duration = Duration::from_millis(50);

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
            output.left = usize::MAX;
        }
        let mut drained = std::pin::pin!(async {
            while self.0.iter().any(|output| output.open) {
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

#[derive(Debug)]
struct Output {
    pipe: AsyncFd<OwnedFd>,
    stream: OutputStream,
    /// The beginning of a character whose end has not been read yet.
    carried: Vec<u8>,
    /// When `carried` is sent all the same.
    send_carried: Option<Instant>,
    /// How many more bytes count: after the command's end, what follows is not its own.
    left: usize,
    open: bool,
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
        for output in &mut self.outputs {
            output.left = ioctl_fionread(output.pipe.get_ref())
                .ok()
                .and_then(|unread| usize::try_from(unread).ok())
                .unwrap_or_default();
        }
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
                spawn::enlarge(output.pipe.get_ref());
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

impl Output {
    fn new(pipe: OwnedFd, stream: OutputStream) -> io::Result<Self> {
        Ok(Self {
            pipe: watch(pipe, Interest::READABLE)?,
            stream,
            carried: Vec::new(),
            send_carried: None,
            left: usize::MAX,
            open: true,
        })
    }

    fn is_open(&self) -> bool {
        self.open && self.left > 0
    }

    fn is_wanted(&self) -> bool {
        !self.carried.is_empty() || self.is_open()
    }

    /// Resolves when [`read`](Self::read) has something to do, if it ever will.
    async fn ready(&self) {
        let carried_is_due = async {
            match self.send_carried {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        if !self.is_open() {
            if self.carried.is_empty() {
                std::future::pending::<()>().await;
            }
            return;
        }
        tokio::select! {
            // It fails only when the runtime stops.
            _ = self.pipe.readable() => {}
            () = carried_is_due => {}
        }
    }

    /// What can be sent now, read into `room`.
    fn read<'a>(&mut self, room: &'a mut Vec<u8>) -> &'a [u8] {
        room.append(&mut self.carried);
        let is_fresh = self.is_open() && self.read_pipe(room);
        let is_due = self.send_carried.is_some_and(|at| at <= Instant::now());
        if self.is_open() && (is_fresh || !is_due) {
            let whole = room.len() - text::incomplete_tail(room);
            self.carried
                .extend_from_slice(room.get(whole..).unwrap_or_default());
            room.truncate(whole);
        }
        if is_fresh || self.carried.is_empty() {
            self.send_carried = (!self.carried.is_empty()).then(|| Instant::now() + CARRY);
        }
        room
    }

    /// Appends to `room` what its capacity allows; whether that was anything.
    fn read_pipe(&mut self, room: &mut Vec<u8>) -> bool {
        let before = room.len();
        let read = |pipe: &OwnedFd| Ok(rustix::io::read(pipe, spare_capacity(room))?);
        let read = self.pipe.try_io(Interest::READABLE, read);
        let counted = self.count(read);
        room.truncate(before + counted);
        counted > 0
    }

    /// Throws away what is in the pipe.
    fn discard(&mut self) {
        self.carried.clear();
        self.send_carried = None;
        let splice = |pipe: &OwnedFd| {
            Ok(splice(
                pipe,
                None,
                null()?,
                None,
                usize::MAX >> 1,
                SpliceFlags::NONBLOCK,
            )?)
        };
        let gone = self.pipe.try_io(Interest::READABLE, splice);
        self.count(gone);
    }

    /// How many of the bytes that were read count.
    fn count(&mut self, read: io::Result<usize>) -> usize {
        match read {
            Ok(0) => self.open = false,
            Ok(read) => {
                let counted = read.min(self.left);
                self.left -= counted;
                return counted;
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => {
                tracing::warn!(error = %e, "cannot read the output of a command");
                self.open = false;
            }
        }
        0
    }
}

fn null() -> io::Result<&'static File> {
    static NULL: OnceLock<File> = OnceLock::new();
    match NULL.get() {
        Some(file) => Ok(file),
        None => {
            let file = File::options().write(true).open("/dev/null")?;
            Ok(NULL.get_or_init(|| file))
        }
    }
}
