//! Messages of Jupyter, and their signatures.
//!
//! A message has the frames: topics or identities, a delimiter, the signature, and as JSON the header, the
//! header of the request that it belongs to, metadata and content.

use std::io;
use std::time::SystemTime;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sandbox_protocol::event::OutputStream;
use sandbox_protocol::hex::hex;
use sandbox_protocol::time::to_text;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::text::{PREFIX, TextDecoder};
use super::zmtp::{Head, Receiver};
use crate::random::random_id;

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// The number of frames from the signature to the metadata.
const FRAMES_BEFORE_CONTENT: usize = 4;

/// The size from which on the text of a `stream` message is decoded in pieces, in bytes.
const LARGE_CONTENT: u64 = 256 * 1024;

/// The largest message that is held, in bytes.
const MAX_MESSAGE: u64 = 32 * 1024 * 1024;

/// The most frames of a message. Contents may have buffers behind them.
const MAX_FRAMES: usize = 1024;

/// The secret with which both sides sign their messages.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its type, such as `status`.
    pub kind: String,
    /// The id of the request that it belongs to.
    pub parent: String,
    /// Its content.
    pub content: Value,
}

/// A message or a text from a kernel.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// A message.
    Message(Message),
    /// A part of the text of a message.
    Text(OutputStream, Vec<u8>),
    /// A message of this size in bytes was too large to be held.
    TooLarge(u64),
}

#[derive(Deserialize, Default)]
struct Header {
    #[serde(default)]
    msg_id: String,
    #[serde(default)]
    msg_type: String,
}

impl Key {
    /// The key whose text both sides know. Error: never.
    pub fn new(text: &str) -> io::Result<Self> {
        let key = Hmac::new_from_slice(text.as_bytes());
        key.map(Self).map_err(io::Error::other)
    }

    fn sign<'a>(&self, frames: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut mac = self.0.clone();
        frames.into_iter().for_each(|frame| mac.update(frame));
        hex(&mac.finalize().into_bytes())
    }

    /// The frames of a request, and its id. `session` is the id of the client.
    pub fn request(
        &self,
        session: &str,
        kind: &str,
        metadata: &Value,
        content: &Value,
    ) -> io::Result<(String, Vec<Vec<u8>>)> {
        let id = random_id()?;
        let header = json!({
            "msg_id": id,
            "msg_type": kind,
            "session": session,
            "username": "sandbox",
            "date": to_text(SystemTime::now()),
            "version": "5.3",
        });
        let parts = [
            header.to_string(),
            "{}".to_owned(),
            metadata.to_string(),
            content.to_string(),
        ];
        let signature = self.sign(parts.iter().map(String::as_bytes));
        let mut frames = vec![DELIMITER.to_vec(), signature.into_bytes()];
        frames.extend(parts.into_iter().map(String::into_bytes));
        Ok((id, frames))
    }

    fn message(&self, frames: &[Bytes]) -> io::Result<Message> {
        let [signature, header, parent, metadata, content, ..] = frames else {
            return Err(invalid("too few frames"));
        };
        let signed = [header, parent, metadata, content];
        self.check(signature, self.sign(signed.map(|frame| &frame[..])))?;
        let parse = |frame: &Bytes| serde_json::from_slice(frame).unwrap_or_default();
        let header: Header = serde_json::from_slice(header).map_err(invalid)?;
        let parent: Header = parse(parent);
        Ok(Message {
            kind: header.msg_type,
            parent: parent.msg_id,
            content: serde_json::from_slice(content).map_err(invalid)?,
        })
    }

    fn check(&self, signature: &[u8], expected: String) -> io::Result<()> {
        if signature == expected.as_bytes() {
            Ok(())
        } else {
            Err(invalid("a message has a wrong signature"))
        }
    }
}

fn invalid(why: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

/// The messages that arrive on a connection.
pub struct Messages {
    receiver: Receiver,
    key: Key,
    /// The frames of the present message behind its delimiter.
    frames: Vec<Bytes>,
    has_delimiter: bool,
    /// The bytes of the present message.
    size: u64,
    /// The frame whose body is not taken yet.
    head: Option<Head>,
    /// The text that is being decoded, the rest of its frame, and the signature of what was taken.
    text: Option<(TextDecoder, u64, Hmac<Sha256>)>,
}

impl Messages {
    /// The messages of `receiver`, signed with `key`.
    pub fn new(receiver: Receiver, key: Key) -> Self {
        Self {
            receiver,
            key,
            frames: Vec::new(),
            has_delimiter: false,
            size: 0,
            head: None,
            text: None,
        }
    }

    /// The next message, or the next part of a large one. Cancel-safe. Error: the connection is closed, or
    /// its peer is no kernel.
    pub async fn next(&mut self) -> io::Result<Incoming> {
        loop {
            if let Some(text) = self.next_text().await? {
                return Ok(text);
            }
            let head = match self.head {
                Some(head) => head,
                None => {
                    let head = self.receiver.head().await?;
                    self.size = self.size.saturating_add(head.size);
                    *self.head.insert(head)
                }
            };
            if self.is_content() && head.size >= LARGE_CONTENT {
                let prefix = self.receiver.peek(PREFIX).await?;
                if let Some((decoder, start)) = TextDecoder::new(prefix) {
                    let begin = self.receiver.take(start).await?;
                    let mut mac = self.key.0.clone();
                    self.frames.iter().skip(1).for_each(|frame| mac.update(frame));
                    mac.update(&begin);
                    self.text = Some((decoder, head.size - start as u64, mac));
                    continue;
                }
            }
            if self.size > MAX_MESSAGE || self.frames.len() > MAX_FRAMES {
                self.skip(head).await?;
                self.head = None;
                if head.has_more {
                    continue;
                }
                let size = std::mem::take(&mut self.size);
                self.clear();
                return Ok(Incoming::TooLarge(size));
            }
            let frame = self
                .receiver
                .take(usize::try_from(head.size).map_err(invalid)?)
                .await?;
            self.head = None;
            if self.has_delimiter {
                self.frames.push(frame);
            } else {
                self.has_delimiter = frame == DELIMITER;
            }
            if !head.has_more {
                let message = self.key.message(&self.frames);
                self.clear();
                return message.map(Incoming::Message);
            }
        }
    }

    /// Whether the next frame is the content of a message.
    fn is_content(&self) -> bool {
        self.has_delimiter && self.frames.len() == FRAMES_BEFORE_CONTENT
    }

    /// The next part of the text that is being decoded.
    async fn next_text(&mut self) -> io::Result<Option<Incoming>> {
        let Some((decoder, left, mac)) = &mut self.text else {
            return Ok(None);
        };
        if *left > 0 {
            let piece = self.receiver.piece(*left).await?;
            *left -= piece.len() as u64;
            mac.update(&piece);
            let mut text = Vec::with_capacity(piece.len());
            decoder.decode(&piece, &mut text);
            return Ok(Some(Incoming::Text(decoder.stream, text)));
        }
        let signature = hex(&mac.clone().finalize().into_bytes());
        let sent = self.frames.first().cloned().unwrap_or_default();
        let has_more = self.head.is_some_and(|head| head.has_more);
        self.text = None;
        self.head = None;
        if has_more {
            return Err(invalid("a message of text has buffers"));
        }
        self.clear();
        self.key.check(&sent, signature)?;
        Ok(None)
    }

    /// Takes and drops the body of a frame.
    async fn skip(&mut self, mut head: Head) -> io::Result<()> {
        while head.size > 0 {
            head.size -= self.receiver.piece(head.size).await?.len() as u64;
            self.head = Some(head);
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.has_delimiter = false;
        self.size = 0;
    }
}
