//! Sends a terminal's output to the attached client, and into the replay.

use bytes::Bytes;
use sandbox_protocol::Tail;
use sandbox_protocol::pty::ServerMessage;
use tokio::sync::mpsc;

use super::client::Output;
use super::device::Device;

/// The output side of a terminal.
#[derive(Debug)]
pub struct Screen {
    client: Option<mpsc::Sender<Output>>,
    replay: Option<Tail>,
    /// The buffer of the device's reads.
    buffer: Vec<u8>,
}

impl Screen {
    /// A screen without a client. With a `replay`, a client that attaches gets the output that it
    /// missed.
    pub fn new(replay: Option<Tail>) -> Self {
        Self {
            client: None,
            replay,
            buffer: Vec::new(),
        }
    }

    /// Replaces the client, and sends the new one the output that it missed.
    pub fn attach(&mut self, client: mpsc::Sender<Output>) {
        // The channel is new and has slots for both; fails when the client is gone already.
        let _ = client.try_send(Output::Message(ServerMessage::Ready));
        let missed = self
            .replay
            .as_ref()
            .map(|tail| Bytes::from(tail.bytes()))
            .unwrap_or_default();
        if !missed.is_empty() {
            let _ = client.try_send(Output::Bytes(missed));
        }
        self.client = Some(client);
    }

    /// Replaces the client by one that gets only the error, as there is no terminal.
    pub fn attach_unready(&mut self, client: mpsc::Sender<Output>) {
        self.client = Some(client);
    }

    /// Removes the client.
    pub fn detach(&mut self) {
        self.client = None;
    }

    /// Whether there is a client.
    pub fn is_attached(&self) -> bool {
        self.client.is_some()
    }

    /// Sends the next piece of output, once the channel has a free slot; returns its length. Waits
    /// until there is output, unless the program `has_ended`. Cancel-safe.
    pub async fn forward(&mut self, device: &Device, has_ended: bool) -> usize {
        let permit = match &self.client {
            // Without its client, a terminal goes on: the event that the client left follows.
            Some(client) => client.reserve().await.ok(),
            None => None,
        };
        if !has_ended {
            device.readable().await;
        }
        let bytes = match device.read(&mut self.buffer) {
            Ok(bytes) => bytes,
            Err(e) if has_ended => {
                tracing::warn!(error = %e, "cannot read a terminal");
                return 0;
            }
            // Another read would fail likewise.
            Err(_) => return std::future::pending().await,
        };
        let length = bytes.len();
        if let Some(replay) = &mut self.replay {
            replay.push(&bytes);
        }
        if let Some(permit) = permit.filter(|_| length > 0) {
            permit.send(Output::Bytes(bytes));
        }
        length
    }

    /// Sends `text`, which is `None` afterwards, and `last`; returns whether there was a client.
    /// Cancel-safe: it may be called again.
    pub async fn finish(&self, text: &mut Option<Bytes>, last: &ServerMessage) -> bool {
        let Some(client) = &self.client else {
            return false;
        };
        if let Some(bytes) = text.as_ref() {
            if client.send(Output::Bytes(bytes.clone())).await.is_err() {
                return false;
            }
            *text = None;
        }
        client.send(Output::Message(last.clone())).await.is_ok()
    }
}
