//! `/tcp/{port}`: a WebSocket that carries one TCP connection to a port. Binary frames are its
//! bytes, in both directions. The text `{"type":"close_write"}` of the client ends its bytes, and the
//! server can go on; otherwise, when either side closes, the other is closed.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use sandbox_protocol::{Invalid, ServerPort};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, interval_at, timeout};

use super::{Ports, connect};
use crate::activity::ActivityKind;
use crate::server::Connected;
use crate::{Error, websocket};

/// The size of a read from the TCP connection, and so of a frame to the client, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// The time between two pings: only a write detects that the client is gone.
const PING_INTERVAL: Duration = Duration::from_millis(4500);

/// The time that either side has to take its last bytes and to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How the connection ended.
enum End {
    /// The client left.
    Client,
    /// The TCP connection ended, or broke; or the client sent no bytes. The close for the client.
    Server(u16, String),
}

/// Connects, then upgrades to the WebSocket. Errors: 400 for a request without an upgrade, 502 when
/// nothing listens.
pub(super) async fn tcp(
    State(ports): State<Arc<Ports>>,
    Path(port): Path<String>,
    connected: Option<Extension<Connected>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let port = ServerPort::parse(&port)?.get();
    let upgrade = upgrade.map_err(|_| Invalid::request("WebSocket upgrade required"))?;
    let stream = connect(port).await?;
    Ok(websocket::bounded(upgrade).on_upgrade(async move |socket| {
        let _held = (connected, ports.tracker.begin(ActivityKind::Request));
        carry(socket, stream).await;
    }))
}

async fn carry(socket: WebSocket, stream: TcpStream) {
    let (mut sink, frames) = socket.split();
    let (mut reader, writer) = stream.into_split();
    let mut up = pin!(to_server(frames, writer));
    let mut left = None;
    let end = tokio::select! {
        (end, frames) = &mut up => {
            left = Some(frames);
            end
        }
        end = to_client(&mut reader, &mut sink) => end,
    };
    let close = async {
        if let End::Server(code, reason) = end {
            let reason = reason.into();
            // Fails when the client is gone, too.
            let _ = sink.send(Message::Close(Some(CloseFrame { code, reason }))).await;
        }
        let client = async {
            // The server gets what the client had sent until it saw the close.
            let mut frames = match left {
                Some(frames) => frames,
                None => up.await.1,
            };
            while matches!(frames.next().await, Some(Ok(_))) {}
        };
        // A connection that is dropped with unread bytes discards what the server has not read yet.
        let mut unread = tokio::io::sink();
        let server = copy(&mut reader, &mut unread);
        let _ = tokio::join!(client, server);
    };
    // Fails when a side does not end.
    let _ = timeout(CLOSE_TIMEOUT, close).await;
}

/// Sends the server's bytes as frames.
async fn to_client(reader: &mut OwnedReadHalf, sink: &mut SplitSink<WebSocket, Message>) -> End {
    let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_SIZE);
        let message = tokio::select! {
            read = reader.read_buf(&mut buffer) => match read {
                Ok(0) => return End::Server(close_code::NORMAL, String::new()),
                Ok(_) => Message::Binary(buffer.split().freeze()),
                Err(e) => return End::broken(&e),
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
        };
        if sink.send(message).await.is_err() {
            return End::Client;
        }
    }
}

/// Writes the client's frames, until they end; returns the rest of them. The server then sees the
/// end of the bytes.
async fn to_server(
    mut frames: SplitStream<WebSocket>,
    mut writer: OwnedWriteHalf,
) -> (End, SplitStream<WebSocket>) {
    let mut end = End::Client;
    while let Some(Ok(frame)) = frames.next().await {
        let written = match frame {
            Message::Binary(bytes) => writer.write_all(&bytes).await,
            Message::Text(text) if is_close_write(&text) => writer.shutdown().await,
            Message::Text(_) => {
                let reason = "frames must be binary, or the text {\"type\":\"close_write\"}";
                end = End::Server(close_code::UNSUPPORTED, reason.into());
                break;
            }
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => break,
        };
        if let Err(e) = written {
            end = End::broken(&e);
            break;
        }
    }
    (end, frames)
}

/// Whether a text of the client ends its bytes.
fn is_close_write(text: &str) -> bool {
    serde_json::from_str::<Value>(text)
        .is_ok_and(|message| message.get("type") == Some(&"close_write".into()))
}

impl End {
    fn broken(error: &io::Error) -> Self {
        Self::Server(close_code::ERROR, format!("the TCP connection broke: {error}"))
    }
}
