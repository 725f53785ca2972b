//! One output of a command: the pipe that it is read from, up to the command's end and no further.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::ioctl_fionread;
use rustix::pipe::{SpliceFlags, splice};
use sandbox_protocol::event::OutputStream;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use super::watched::watch;
use super::{spawn, text};

/// How long the beginning of a character waits for its end.
const CARRY: Duration = Duration::from_millis(50);

/// One output of a command.
#[derive(Debug)]
pub struct Output {
    pipe: AsyncFd<OwnedFd>,
    /// Which of the two it is.
    pub stream: OutputStream,
    /// The beginning of a character whose end has not been read yet.
    carried: Vec<u8>,
    /// When `carried` is sent all the same.
    send_carried: Option<Instant>,
    /// How many more bytes count: after the command's end, what follows is not its own.
    left: usize,
    open: bool,
}

impl Output {
    /// What is read from `pipe`. Errors are those of the kernel.
    pub fn new(pipe: OwnedFd, stream: OutputStream) -> io::Result<Self> {
        Ok(Self {
            pipe: watch(pipe, Interest::READABLE)?,
            stream,
            carried: Vec::new(),
            send_carried: None,
            left: usize::MAX,
            open: true,
        })
    }

    /// The command has ended: only what it has written until now counts.
    pub fn command_ended(&mut self) {
        self.left = ioctl_fionread(self.pipe.get_ref())
            .ok()
            .and_then(|unread| usize::try_from(unread).ok())
            .unwrap_or_default();
    }

    /// What its children write counts, too, if only to be thrown away.
    pub fn everything_counts(&mut self) {
        self.left = usize::MAX;
    }

    /// Lets the pipe hold more, if the kernel allows it.
    pub fn enlarge(&self) {
        spawn::enlarge(self.pipe.get_ref());
    }

    /// Whether some process still has the pipe's other end.
    pub fn is_held(&self) -> bool {
        self.open
    }

    fn is_open(&self) -> bool {
        self.open && self.left > 0
    }

    /// Whether there is, or will be, anything that counts.
    pub fn is_wanted(&self) -> bool {
        !self.carried.is_empty() || self.is_open()
    }

    /// Resolves when [`read`](Self::read) has something to do, if it ever will.
    pub async fn ready(&self) {
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
    pub fn read<'a>(&mut self, room: &'a mut Vec<u8>) -> &'a [u8] {
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
    pub fn discard(&mut self) {
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
