//! A client of ZMTP 3.0, the protocol of ZeroMQ, as far as Jupyter kernels need it: one connection for
//! each socket, without authentication.
//!
//! Frames are read from a buffer that survives a cancelled read. A frame is taken whole, or in pieces: a
//! kernel sends all that a `print` has written as one frame, whatever its size.

use std::io;
use std::path::Path;

use bytes::{Buf as _, Bytes, BytesMut};
use rustix::process::getuid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::{TcpStream, UnixStream};

/// Flags of a frame.
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// The size of a greeting, in bytes.
const GREETING_SIZE: usize = 64;

/// The largest command of a peer, in bytes.
const MAX_COMMAND: u64 = 64 * 1024;

/// The bytes that are read at a time, at least.
const READ_SIZE: usize = 64 * 1024;

/// The type of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketType {
    /// Sends requests, and receives replies.
    Dealer,
    /// Receives everything that is published.
    Sub,
}

/// The address of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(std::path::PathBuf),
    /// A port of the loopback device.
    Tcp(u16),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The sending side of a connection.
pub struct Sender(WriteHalf<Box<dyn Stream>>);

/// The receiving side of a connection.
pub struct Receiver {
    stream: ReadHalf<Box<dyn Stream>>,
    buffer: BytesMut,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whether the message has another frame behind it.
    pub has_more: bool,
    /// The size of its body, in bytes.
    pub size: u64,
    is_command: bool,
}

/// Connects a socket. A Unix socket must be one of `uid`, or of root. Error: nothing listens there yet, or
/// what does is no ZeroMQ.
pub async fn connect(address: &Address, uid: u32, kind: SocketType) -> io::Result<(Sender, Receiver)> {
    let stream: Box<dyn Stream> = match address {
        Address::Unix(path) => Box::new(connect_unix(path, uid).await?),
        Address::Tcp(port) => {
            let stream = TcpStream::connect(("127.0.0.1", *port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    };
    let (stream, sender) = split(stream);
    let buffer = BytesMut::new();
    let (mut sender, mut receiver) = (Sender(sender), Receiver { stream, buffer });
    sender.0.write_all(&greeting()).await?;
    receiver.fill(GREETING_SIZE).await?;
    let greeting = receiver.buffer.split_to(GREETING_SIZE);
    if greeting.first() != Some(&0xff) || greeting.get(10).is_none_or(|major| *major < 3) {
        return Err(io::Error::other("the peer does not speak ZMTP 3"));
    }
    sender.send_frame(COMMAND, &ready(kind)).await?;
    // The peer's command READY.
    let head = receiver.raw_head().await?;
    if !head.is_command || head.size > MAX_COMMAND {
        return Err(io::Error::other("the peer is not ready"));
    }
    receiver.take_command(head).await?;
    if kind == SocketType::Sub {
        // A subscription to all topics.
        sender.send_frame(0, &[1]).await?;
    }
    Ok((sender, receiver))
}

/// Connects to a Unix socket in a directory of the user's, who may have put a link to another there.
async fn connect_unix(path: &Path, uid: u32) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path).await?;
    let owner = stream.peer_cred()?.uid();
    if owner != uid && owner != getuid().as_raw() {
        return Err(io::Error::other("the socket is another user's"));
    }
    Ok(stream)
}

fn greeting() -> [u8; GREETING_SIZE] {
    let mut greeting = [0; GREETING_SIZE];
    let known = [(0, &[0xff][..]), (9, &[0x7f, 3, 0]), (12, b"NULL")];
    for (at, bytes) in known {
        for (to, byte) in greeting.iter_mut().skip(at).zip(bytes) {
            *to = *byte;
        }
    }
    greeting
}

fn ready(kind: SocketType) -> Vec<u8> {
    let kind = match kind {
        SocketType::Dealer => "DEALER",
        SocketType::Sub => "SUB",
    };
    let mut command = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", kind), ("Identity", "")] {
        // Both are shorter than 256 bytes.
        command.push(name.len() as u8);
        command.extend_from_slice(name.as_bytes());
        command.extend_from_slice(&(value.len() as u32).to_be_bytes());
        command.extend_from_slice(value.as_bytes());
    }
    command
}

impl Sender {
    /// Sends a message of these frames. Not cancel-safe.
    pub async fn send(&mut self, frames: &[impl AsRef<[u8]>]) -> io::Result<()> {
        for (index, frame) in frames.iter().enumerate() {
            let flags = if index + 1 < frames.len() { MORE } else { 0 };
            self.send_frame(flags, frame.as_ref()).await?;
        }
        Ok(())
    }

    async fn send_frame(&mut self, flags: u8, body: &[u8]) -> io::Result<()> {
        let mut wire = Vec::with_capacity(9 + body.len());
        match u8::try_from(body.len()) {
            Ok(size) => wire.extend_from_slice(&[flags, size]),
            Err(_) => {
                wire.push(flags | LONG);
                wire.extend_from_slice(&(body.len() as u64).to_be_bytes());
            }
        }
        wire.extend_from_slice(body);
        self.0.write_all(&wire).await
    }
}

impl Receiver {
    /// The head of the next frame of a message. Commands are skipped. Cancel-safe.
    pub async fn head(&mut self) -> io::Result<Head> {
        loop {
            // A command is taken with its head, so that a cancelled call leaves both.
            let (head, length) = self.peek_head().await?;
            if !head.is_command {
                self.buffer.advance(length);
                return Ok(head);
            }
            if head.size > MAX_COMMAND {
                return Err(io::Error::other("a command of the peer is too large"));
            }
            let size = length + usize::try_from(head.size).unwrap_or_default();
            self.fill(size).await?;
            self.buffer.advance(size);
        }
    }

    /// The next `size` bytes of a body. Cancel-safe.
    pub async fn take(&mut self, size: usize) -> io::Result<Bytes> {
        self.fill(size).await?;
        Ok(self.buffer.split_to(size).freeze())
    }

    /// Between one and `most` bytes of a body. Cancel-safe.
    pub async fn piece(&mut self, most: u64) -> io::Result<Bytes> {
        self.fill(1).await?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let size = self.buffer.len().min(most);
        Ok(self.buffer.split_to(size).freeze())
    }

    /// The first bytes of a body, which stay there: `size` of them. Cancel-safe.
    pub async fn peek(&mut self, size: usize) -> io::Result<&[u8]> {
        self.fill(size).await?;
        Ok(self.buffer.get(..size).unwrap_or_default())
    }

    async fn raw_head(&mut self) -> io::Result<Head> {
        let (head, length) = self.peek_head().await?;
        self.buffer.advance(length);
        Ok(head)
    }

    async fn take_command(&mut self, head: Head) -> io::Result<()> {
        let size = usize::try_from(head.size).unwrap_or_default();
        self.take(size).await.map(|_| ())
    }

    /// The head of the next frame, and its length in bytes.
    async fn peek_head(&mut self) -> io::Result<(Head, usize)> {
        self.fill(2).await?;
        let flags = self.buffer.first().copied().unwrap_or_default();
        let length = if flags & LONG == 0 { 2 } else { 9 };
        self.fill(length).await?;
        let size = self.buffer.get(1..length).unwrap_or_default();
        let size = size.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
        let head = Head {
            has_more: flags & MORE != 0,
            size,
            is_command: flags & COMMAND != 0,
        };
        Ok((head, length))
    }

    /// Reads until the buffer has `size` bytes.
    async fn fill(&mut self, size: usize) -> io::Result<()> {
        while self.buffer.len() < size {
            let missing = size - self.buffer.len();
            self.buffer.reserve(missing.max(READ_SIZE));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}
