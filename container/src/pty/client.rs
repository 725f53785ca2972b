//! The channels between a terminal and its clients. Connections come and go; the terminal stays.
//!
//! The channels of both directions are short, and that is the whole flow control: a terminal whose
//! client does not read reads no output, and a client whose terminal takes no input is not read.
//! Sizes are not queued: the newest counts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandbox_protocol::pty::{ServerMessage, Size};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::quota::{BufferPermit, Buffers};

/// The number of pieces of output that may wait for the connection. One is for `ready`, one for the
/// replay after it.
const OUTPUT_AHEAD: usize = 3;

/// The input that may wait for the terminal, in bytes. Only a client that is read can be seen to
/// leave, so more is read than the flow control needs.
const INPUT_AHEAD: usize = 256 * 1024;

/// The memory of a frame of input besides its bytes, in bytes.
const FRAME_OVERHEAD: usize = 128;

/// The input that may wait without a buffer permit, in bytes: keys are taken even when the buffers
/// are full.
const SMALL_INPUT: usize = 16 * 1024;

/// The time for which a terminal may take no input while the next waits. The client could have left
/// long ago: the runtime between it and us notices that only when it is read, and reports it after
/// everything that the client had sent.
const INPUT_TIMEOUT: Duration = Duration::from_secs(600);

/// The output of a terminal to its client.
#[derive(Debug)]
pub enum Output {
    /// Bytes that its programs wrote.
    Bytes(Bytes),
    /// A text frame. `exit` and `error` are the last.
    Message(ServerMessage),
}

/// The terminal's ends of a client's channels.
#[derive(Debug)]
pub struct Client {
    size: watch::Receiver<Size>,
    input: mpsc::UnboundedReceiver<Input>,
    output: mpsc::Sender<Output>,
}

/// Input of a client. It holds its permits until it is dropped.
#[derive(Debug)]
pub struct Input {
    /// The bytes that are not written yet.
    pub bytes: Bytes,
    _ahead: OwnedSemaphorePermit,
    _buffer_permit: BufferPermit,
}

/// The sender of a client's input.
#[derive(Debug)]
pub struct InputSender {
    sender: mpsc::UnboundedSender<Input>,
    ahead: Arc<Semaphore>,
    buffers: Buffers,
}

/// The reason why input is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputError {
    /// The terminal has ended, or another client is attached.
    Closed,
    /// The terminal has taken no input for too long.
    TimedOut,
    /// The buffers are full, with the message for a person.
    BuffersFull(String),
}

impl InputSender {
    /// Sends the next input, once the input before it is within the limit.
    pub async fn send(&self, bytes: Bytes) -> Result<(), InputError> {
        let size = bytes.len() + FRAME_OVERHEAD;
        let waiting = INPUT_AHEAD.saturating_sub(self.ahead.available_permits());
        let buffer_permit = if waiting + size > SMALL_INPUT {
            // Before the wait: the bytes are in memory already.
            self.buffers
                .take(size as u64)
                .map_err(|e| InputError::BuffersFull(e.to_string()))?
        } else {
            BufferPermit::default()
        };
        let size = u32::try_from(size.min(INPUT_AHEAD)).unwrap_or(u32::MAX);
        let ahead = timeout(INPUT_TIMEOUT, Arc::clone(&self.ahead).acquire_many_owned(size));
        let ahead = tokio::select! {
            ahead = ahead => ahead,
            () = self.sender.closed() => return Err(InputError::Closed),
        };
        let input = Input {
            bytes,
            _ahead: ahead
                .map_err(|_| InputError::TimedOut)?
                .map_err(|_| InputError::Closed)?,
            _buffer_permit: buffer_permit,
        };
        self.sender.send(input).map_err(|_| InputError::Closed)
    }
}

/// The connection's ends of the channels. Dropping them means that the client left.
#[derive(Debug)]
pub struct Connection {
    /// The size of the client's window.
    pub size: watch::Sender<Size>,
    /// Takes the client's input.
    pub input: InputSender,
    /// Receives the terminal's output. Ends without `exit` and `error` when another client has
    /// replaced this one.
    pub output: mpsc::Receiver<Output>,
}

impl Client {
    /// A client whose window has this size. The bytes that it sends are counted in `buffers`.
    pub fn new(size: Size, buffers: Buffers) -> (Self, Connection) {
        let (size_tx, size) = watch::channel(size);
        let (input_tx, input) = mpsc::unbounded_channel();
        let (output, output_rx) = mpsc::channel(OUTPUT_AHEAD);
        let connection = Connection {
            size: size_tx,
            input: InputSender {
                sender: input_tx,
                ahead: Arc::new(Semaphore::new(INPUT_AHEAD)),
                buffers,
            },
            output: output_rx,
        };
        (Self { size, input, output }, connection)
    }

    /// Rejects the client.
    pub fn reject(self, message: String) {
        // The channel is new and has a free slot; fails when the client is gone.
        let _ = self
            .output
            .try_send(Output::Message(ServerMessage::Error { message }));
    }
}

/// An event from the clients of a terminal.
#[derive(Debug)]
pub enum Event {
    /// A client has attached, and replaces the one before.
    Attached(mpsc::Sender<Output>, Size),
    /// The window has another size.
    Resized(Size),
    /// The client sent input.
    Input(Input),
    /// The client left.
    Left,
    /// No client was attached for too long.
    HangUp,
}

/// The clients of one terminal: at most one is attached.
#[derive(Debug)]
pub struct Clients {
    arriving: mpsc::Receiver<Client>,
    size: Option<watch::Receiver<Size>>,
    /// Still read after the client has left: its last bytes are input, too.
    input: Option<mpsc::UnboundedReceiver<Input>>,
    linger: Duration,
    hang_up: Option<Instant>,
}

impl Clients {
    /// The clients that come through `arriving`. Without one, [`Event::HangUp`] comes after
    /// `linger`.
    pub fn new(arriving: mpsc::Receiver<Client>, linger: Duration) -> Self {
        Self {
            arriving,
            size: None,
            input: None,
            linger,
            hang_up: None,
        }
    }

    /// Waits for the next event; for input only if it is wanted. Cancel-safe.
    pub async fn next(&mut self, wants_input: bool) -> Event {
        loop {
            tokio::select! {
                biased;
                Some(client) = self.arriving.recv() => {
                    let mut size = client.size;
                    let now = *size.borrow_and_update();
                    self.size = Some(size);
                    self.input = Some(client.input);
                    self.hang_up = None;
                    return Event::Attached(client.output, now);
                }
                // Before the input: input that was sent after a resize must find that size.
                Some(size) = changed(&mut self.size) => match size {
                    Changed::To(size) => return Event::Resized(size),
                    Changed::Gone => {
                        self.size = None;
                        self.hang_up = Some(Instant::now() + self.linger);
                        return Event::Left;
                    }
                },
                Some(input) = received(&mut self.input), if wants_input => match input {
                    Some(input) => return Event::Input(input),
                    None => self.input = None,
                },
                Some(()) = passed(self.hang_up) => {
                    self.hang_up = None;
                    return Event::HangUp;
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Closes the channel to further clients, and drops those that wait in it.
    pub fn close(&mut self) {
        self.arriving.close();
        while self.arriving.try_recv().is_ok() {}
    }
}

enum Changed {
    To(Size),
    Gone,
}

async fn changed(size: &mut Option<watch::Receiver<Size>>) -> Option<Changed> {
    let size = size.as_mut()?;
    Some(match size.changed().await {
        Ok(()) => Changed::To(*size.borrow_and_update()),
        Err(_) => Changed::Gone,
    })
}

async fn received(input: &mut Option<mpsc::UnboundedReceiver<Input>>) -> Option<Option<Input>> {
    Some(input.as_mut()?.recv().await)
}

async fn passed(deadline: Option<Instant>) -> Option<()> {
    sleep_until(deadline?).await;
    Some(())
}

#[cfg(test)]
mod tests;
