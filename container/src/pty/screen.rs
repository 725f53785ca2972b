//! Where a terminal's output goes: to the client that is attached, and into the replay.

use bytes::Bytes;
use sandbox_protocol::pty::ServerMessage;
use tokio::sync::mpsc;

use super::client::Output;
use super::device::Device;
use super::replay::Replay;

/// The output's side of a terminal.
#[derive(Debug)]
pub struct Screen {
    client: Option<mpsc::Sender<Output>>,
    replay: Option<Replay>,
    /// What the device reads into.
    room: Vec<u8>,
}

impl Screen {
    /// A screen without a client. With a `replay`, a client that attaches is told what it missed.
    pub fn new(replay: Option<Replay>) -> Self {
        Self {
            client: None,
            replay,
            room: Vec::new(),
        }
    }

    /// Takes a client in the place of the one before and tells it what it missed.
    pub fn attach(&mut self, client: mpsc::Sender<Output>) {
        // It has read nothing yet and has room for both; an error says that it is gone already.
        let _ = client.try_send(Output::Message(ServerMessage::Ready));
        let missed = self.replay.as_ref().map(Replay::bytes).unwrap_or_default();
        if !missed.is_empty() {
            let _ = client.try_send(Output::Bytes(missed));
        }
        self.client = Some(client);
    }

    /// Takes a client that will be told one thing only: why there is no terminal.
    pub fn attach_unready(&mut self, client: mpsc::Sender<Output>) {
        self.client = Some(client);
    }

    /// The client left.
    pub fn detach(&mut self) {
        self.client = None;
    }

    /// Whether there is a client.
    pub fn is_attached(&self) -> bool {
        self.client.is_some()
    }

    /// Sends the next of the output, when there is room for it; how much it was. Waits until there is some, unless the
    /// program `has_ended`. May be dropped at any time, and loses nothing by that.
    pub async fn forward(&mut self, device: &Device, has_ended: bool) -> usize {
        let room = match &self.client {
            // Without its client, a terminal goes on: the event that says so will come.
            Some(client) => client.reserve().await.ok(),
            None => None,
        };
        if !has_ended {
            device.readable().await;
        }
        let bytes = match device.read(&mut self.room) {
            Ok(bytes) => bytes,
            Err(e) if has_ended => {
                tracing::warn!(error = %e, "cannot read a terminal");
                return 0;
            }
            // Asking again would be answered alike.
            Err(_) => return std::future::pending().await,
        };
        let length = bytes.len();
        if let Some(replay) = &mut self.replay {
            replay.push(&bytes);
        }
        if let Some(room) = room.filter(|_| length > 0) {
            room.send(Output::Bytes(bytes));
        }
        length
    }

    /// Sends `words`, which are none afterwards, and `last`; whether there was a client to send it to. May be dropped at any
    /// time, and called again.
    pub async fn finish(&self, words: &mut Option<Bytes>, last: &ServerMessage) -> bool {
        let Some(client) = &self.client else {
            return false;
        };
        if let Some(said) = words.as_ref() {
            if client.send(Output::Bytes(said.clone())).await.is_err() {
                return false;
            }
            *words = None;
        }
        client.send(Output::Message(last.clone())).await.is_ok()
    }
}
