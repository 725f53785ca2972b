//! One output of a command, read from its pipe up to the command's end and no further.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::ioctl_fionread;
use rustix::pipe::{SpliceFlags, splice};
use sandbox_protocol::event::OutputStream;
use sandbox_protocol::utf8::incomplete_tail;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use super::spawn;
use super::watched::watch;

/// The time that the beginning of a character waits for its end.
const CARRY_TIMEOUT: Duration = Duration::from_millis(50);

/// One output of a command.
#[derive(Debug)]
pub struct Output {
    pipe: AsyncFd<OwnedFd>,
    /// Standard output or standard error.
    pub stream: OutputStream,
    /// The beginning of a character whose end has not been read yet.
    carried: Vec<u8>,
    /// The time at which `carried` is sent although it is incomplete.
    send_carried: Option<Instant>,
    /// The number of bytes that still count: after the command's end, later bytes are not its own.
    left: usize,
    open: bool,
}

impl Output {
    /// The output that is read from `pipe`. Errors are those of the kernel.
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

    /// Ends the output of the command: only bytes that are written by now count.
    pub fn command_ended(&mut self) {
        self.left = ioctl_fionread(self.pipe.get_ref())
            .ok()
            .and_then(|unread| usize::try_from(unread).ok())
            .unwrap_or_default();
    }

    /// Lets all later bytes of its children count, so that they are read and discarded.
    pub fn everything_counts(&mut self) {
        self.left = usize::MAX;
    }

    /// Enlarges the pipe, if the kernel allows it.
    pub fn enlarge(&self) {
        spawn::enlarge(self.pipe.get_ref());
    }

    /// Whether a process still holds the other end of the pipe.
    pub fn is_held(&self) -> bool {
        self.open
    }

    fn is_open(&self) -> bool {
        self.open && self.left > 0
    }

    /// Whether there are, or can be, bytes to send.
    pub fn is_wanted(&self) -> bool {
        !self.carried.is_empty() || self.is_open()
    }

    /// Resolves when [`read`](Self::read) can return bytes; never, if it cannot any more.
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

    /// Reads the bytes that can be sent now into `buffer`.
    pub fn read<'a>(&mut self, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        buffer.append(&mut self.carried);
        let is_fresh = self.is_open() && self.read_pipe(buffer);
        let is_due = self.send_carried.is_some_and(|at| at <= Instant::now());
        if self.is_open() && (is_fresh || !is_due) {
            let whole = buffer.len() - incomplete_tail(buffer);
            self.carried
                .extend_from_slice(buffer.get(whole..).unwrap_or_default());
            buffer.truncate(whole);
        }
        if is_fresh || self.carried.is_empty() {
            self.send_carried = (!self.carried.is_empty()).then(|| Instant::now() + CARRY_TIMEOUT);
        }
        buffer
    }

    /// Appends to `buffer` what its capacity allows; returns whether that was anything.
    fn read_pipe(&mut self, buffer: &mut Vec<u8>) -> bool {
        let before = buffer.len();
        let read = |pipe: &OwnedFd| Ok(rustix::io::read(pipe, spare_capacity(buffer))?);
        let read = self.pipe.try_io(Interest::READABLE, read);
        let counted = self.count(read);
        buffer.truncate(before + counted);
        counted > 0
    }

    /// Discards the bytes in the pipe.
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

    /// Returns how many of the bytes that were read count.
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
