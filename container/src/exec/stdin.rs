//! The standard input of a command.
//!
//! The pipe is the buffer: a writer waits while it is full, so a process that reads nothing makes
//! its clients wait. The offset counts the bytes that the pipe has taken. A client that names the
//! offset of its bytes can therefore repeat a request whose answer was lost: they are written once.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};

use rustix::io::{ioctl_fionbio, write};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::process::watched::watch;
use crate::quota::BufferPermit;

/// The standard input of a process.
#[derive(Debug, Default)]
pub struct Stdin {
    /// Held by the writer.
    turn: Mutex<()>,
    pipe: std::sync::Mutex<Pipe>,
    /// Changes when the pipe does.
    changed: watch::Sender<()>,
    /// The number of writers that wait for their turn to repeat bytes.
    repeating: watch::Sender<usize>,
}

#[derive(Debug, Default)]
enum Pipe {
    /// The process was not started yet.
    #[default]
    Pending,
    Open(Arc<AsyncFd<OwnedFd>>, u64),
    Closed(u64),
}

/// The reason why bytes are not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// The offset is another one.
    Offset(u64),
    /// The standard input is closed. The number is that of the bytes before.
    Closed(u64),
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub struct Writer<'a> {
    stdin: &'a Stdin,
    _turn: MutexGuard<'a, ()>,
}

/// A writer that waits for its turn to repeat bytes, until it is dropped.
struct Repeating<'a>(&'a watch::Sender<usize>);

impl<'a> Repeating<'a> {
    fn new(writers: &'a watch::Sender<usize>) -> Self {
        writers.send_modify(|writers| *writers += 1);
        Self(writers)
    }
}

impl Drop for Repeating<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|writers| *writers -= 1);
    }
}

impl Stdin {
    /// Opens it: `pipe` leads to the process, or there is none.
    pub fn open(&self, pipe: Option<OwnedFd>) -> io::Result<()> {
        let pipe = match pipe {
            Some(pipe) => {
                ioctl_fionbio(&pipe, true)?;
                Pipe::Open(Arc::new(watch(pipe, Interest::WRITABLE)?), 0)
            }
            None => Pipe::Closed(0),
        };
        *self.pipe() = pipe;
        self.changed.send_replace(());
        Ok(())
    }

    /// Closes it; a writer that waits is rejected.
    pub fn close_now(&self) {
        let mut pipe = self.pipe();
        *pipe = Pipe::Closed(pipe.offset());
        drop(pipe);
        self.changed.send_replace(());
    }

    /// Waits for the turn to write. With the `offset` of bytes that the present writer has begun with
    /// or has written, that one gives way if it waits for its client. Fails when `offset` is not that of the next byte, or when it is closed.
    pub async fn writer(&self, offset: Option<u64>) -> Result<Writer<'_>, Rejected> {
        let mut changed = self.changed.subscribe();
        let is_pending = || matches!(*self.pipe(), Pipe::Pending);
        // Cannot fail: the sender lives as long as this.
        let _ = changed.wait_for(|()| !is_pending()).await;
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                let repeats = offset.is_some_and(|offset| offset <= self.offset());
                let _repeating = repeats.then(|| Repeating::new(&self.repeating));
                self.turn.lock().await
            }
        };
        let pipe = self.pipe();
        match (&*pipe, offset) {
            (Pipe::Closed(end), _) => Err(Rejected::Closed(*end)),
            (pipe, Some(offset)) if offset != pipe.offset() => Err(Rejected::Offset(pipe.offset())),
            _ => Ok(Writer {
                stdin: self,
                _turn: turn,
            }),
        }
    }

    /// The offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.pipe().offset()
    }

    fn pipe(&self) -> std::sync::MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    fn offset(&self) -> u64 {
        match self {
            Self::Pending => 0,
            Self::Open(_, offset) | Self::Closed(offset) => *offset,
        }
    }
}

impl Writer<'_> {
    /// Writes all `bytes`; waits while the pipe is full. Fails when the process does not read any
    /// more. When the future is dropped, the offset counts what was written.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), Rejected> {
        let mut rest = bytes;
        let mut changed = self.stdin.changed.subscribe();
        while !rest.is_empty() {
            let pipe = match &*self.stdin.pipe() {
                Pipe::Open(pipe, _) => Arc::clone(pipe),
                closed => return Err(Rejected::Closed(closed.offset())),
            };
            let written = tokio::select! {
                written = pipe.async_io(Interest::WRITABLE, |pipe| Ok(write(pipe, rest)?)) => written,
                // It was closed.
                _ = changed.changed() => continue,
            };
            match written {
                Ok(written) => {
                    if let Pipe::Open(_, offset) = &mut *self.stdin.pipe() {
                        *offset += written as u64;
                    }
                    rest = rest.get(written..).unwrap_or_default();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.stdin.close_now();
                    return Err(Rejected::Closed(self.stdin.offset()));
                }
            }
        }
        Ok(())
    }

    /// Closes it: the process reads an end of file.
    pub fn close(self) {
        self.stdin.close_now();
    }

    /// Resolves when another writer waits for this one's turn to repeat its bytes.
    pub async fn repeated(&self) {
        let mut repeating = self.stdin.repeating.subscribe();
        // Cannot fail: the sender lives as long as the standard input.
        let _ = repeating.wait_for(|writers| *writers > 0).await;
    }

    /// The offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.stdin.offset()
    }
}

/// Writes the standard input of a request, then closes it unless it `stays_open`. Continues in the
/// background when the pipe does not take everything at once. `permit` is for the bytes.
pub async fn feed(stdin: &Stdin, bytes: Option<Vec<u8>>, stays_open: bool, permit: BufferPermit) {
    let Ok(writer) = stdin.writer(None).await else {
        return;
    };
    // A reader that ends before it has read everything is no error.
    let _ = writer.write(bytes.as_deref().unwrap_or_default()).await;
    drop((bytes, permit));
    if !stays_open {
        writer.close();
    }
}
