//! What lies between a terminal and its clients. Connections come and go; the terminal stays.
//!
//! Both ways have little room, and that is the whole flow control: a terminal whose client does not read reads no output,
//! and a client whose terminal takes no input is not read. A size waits in no queue: the newest counts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandbox_protocol::pty::{ServerMessage, Size};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::quota::{Buffers, Room};

/// How many pieces of output may wait for the connection. One is for `ready`, one for what is replayed after it.
const OUTPUT_AHEAD: usize = 3;

/// How much input may wait for the terminal, in bytes. A client that is not read cannot be seen to leave, so it is read for
/// longer than the flow control needs.
const INPUT_AHEAD: usize = 256 * 1024;

/// What a frame of input takes besides its bytes.
const FRAME: usize = 128;

/// So much input may wait without room in the buffers, in bytes: keys are taken, whatever else is going on.
const SMALL: usize = 16 * 1024;

/// How long a terminal may take no input while the next has no room. A client could have left long ago: the runtime between
/// it and us notices that only when it is read, and lets us know behind all that it had sent.
const STUCK: Duration = Duration::from_secs(600);

/// What a terminal sends to its client.
#[derive(Debug)]
pub enum Output {
    /// Bytes that its programs wrote.
    Bytes(Bytes),
    /// A text frame. After `exit` and `error` there is nothing more.
    Message(ServerMessage),
}

/// The terminal's ends of a client.
#[derive(Debug)]
pub struct Client {
    size: watch::Receiver<Size>,
    input: mpsc::UnboundedReceiver<Input>,
    output: mpsc::Sender<Output>,
}

/// Input that a terminal has taken. It takes up room until it is dropped.
#[derive(Debug)]
pub struct Input {
    /// What is left of it.
    pub bytes: Bytes,
    _ahead: OwnedSemaphorePermit,
    _room: Room,
}

/// Takes what a client sends.
#[derive(Debug)]
pub struct InputSender {
    sender: mpsc::UnboundedSender<Input>,
    ahead: Arc<Semaphore>,
    buffers: Buffers,
}

/// Why input is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// The terminal has ended, or another client has it.
    Gone,
    /// It has taken none for too long.
    Stuck,
    /// The buffers are full, in words for a person.
    NoRoom(String),
}

impl InputSender {
    /// Sends the next input, when no more than may is ahead of it.
    pub async fn send(&self, bytes: Bytes) -> Result<(), NotTaken> {
        let size = bytes.len() + FRAME;
        let waiting = INPUT_AHEAD.saturating_sub(self.ahead.available_permits());
        let room = if waiting + size > SMALL {
            // Before it waits: it is there already.
            self.buffers
                .take(size as u64)
                .map_err(|e| NotTaken::NoRoom(e.to_string()))?
        } else {
            Room::default()
        };
        let size = u32::try_from(size.min(INPUT_AHEAD)).unwrap_or(u32::MAX);
        let ahead = timeout(STUCK, Arc::clone(&self.ahead).acquire_many_owned(size));
        let ahead = tokio::select! {
            ahead = ahead => ahead,
            () = self.sender.closed() => return Err(NotTaken::Gone),
        };
        let input = Input {
            bytes,
            _ahead: ahead.map_err(|_| NotTaken::Stuck)?.map_err(|_| NotTaken::Gone)?,
            _room: room,
        };
        self.sender.send(input).map_err(|_| NotTaken::Gone)
    }
}

/// The connection's ends of a client. Dropping them means that the client left.
#[derive(Debug)]
pub struct Connection {
    /// How large the client's window is.
    pub size: watch::Sender<Size>,
    /// Takes what the client sends.
    pub input: InputSender,
    /// Gives what the client gets. Ends without `exit` and `error` when another client has taken this one's place.
    pub output: mpsc::Receiver<Output>,
}

impl Client {
    /// A client whose window has this size. What it sends takes room in `buffers`.
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

    /// Turns the client away.
    pub fn refuse(self, message: String) {
        // It has read nothing yet and has room for this; an error says that it is gone.
        let _ = self
            .output
            .try_send(Output::Message(ServerMessage::Error { message }));
    }
}

/// What a terminal hears from its clients.
#[derive(Debug)]
pub enum Event {
    /// There is a client, in the place of the one before, if there was one.
    Attached(mpsc::Sender<Output>, Size),
    /// The window has another size.
    Resized(Size),
    /// It sent this.
    Input(Input),
    /// There is no client any more.
    Left,
    /// There has been no client for too long.
    HangUp,
}

/// The clients of one terminal: at most one is attached.
#[derive(Debug)]
pub struct Clients {
    arriving: mpsc::Receiver<Client>,
    size: Option<watch::Receiver<Size>>,
    /// What a client sent before it left is input all the same.
    input: Option<mpsc::UnboundedReceiver<Input>>,
    linger: Duration,
    hang_up: Option<Instant>,
}

impl Clients {
    /// The clients that come through `arriving`. Without one, [`Event::HangUp`] comes after `linger`.
    pub fn new(arriving: mpsc::Receiver<Client>, linger: Duration) -> Self {
        Self {
            arriving,
            size: None,
            input: None,
            linger,
            hang_up: None,
        }
    }

    /// Waits for what comes next; for input only if it is wanted. May be dropped at any time, and loses nothing by that.
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
                // Before the input: what was sent after a resize shall find that size.
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

    /// Lets no further client arrive. Those that are waiting find themselves without a terminal.
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

async fn passed(moment: Option<Instant>) -> Option<()> {
    sleep_until(moment?).await;
    Some(())
}

#[cfg(test)]
mod tests;
