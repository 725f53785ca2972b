//! `GET /process/{pid}/attach`: the standard streams of a process over a WebSocket.
//!
//! Frames to the client: binary, one byte (1: standard output, 2: standard error) and then the
//! bytes; text `{"type":"exit",…}`, `{"type":"gap","first","last"}` or `{"type":"error","message"}`.
//! Frames from the client: binary, for the standard input; text `{"type":"close_stdin"}`.
//!
//! The client is an owner of the log: the process waits for it, so it misses nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use sandbox_protocol::Invalid;
use sandbox_protocol::event::{self, OutputStream};
use sandbox_protocol::process::since;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep, timeout};

use crate::exec::Commands;
use crate::exec::event_log::OwnerKind;
use crate::exec::process::Process;
use crate::exec::reader::Reader;
use crate::request_headers::last_event_id;
use crate::server::Connected;
use crate::{Error, websocket};

/// The time between two pings: only a write detects that the client is gone.
const PING_INTERVAL: Duration = Duration::from_millis(4500);

/// The time between two pings while the process takes no input: the close of a client that has left
/// waits behind that input, and other clients wait for their turn to write.
const WAITING_PING_INTERVAL: Duration = Duration::from_millis(500);

/// The time that a client has to answer the close frame, before the connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A frame to the client besides output.
enum Answer {
    Text(Value),
    Ping,
    /// The pong that the library has put into its buffer.
    Pong,
}

/// Upgrades to the WebSocket. Errors: 404, and 400 for a request without an upgrade.
pub(super) async fn attach(
    State(commands): State<Arc<Commands>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    connected: Option<Extension<Connected>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let process = commands.registry.find(&id)?;
    let last_event_id = last_event_id(&headers);
    let cursor = since(uri.query().unwrap_or_default(), last_event_id.as_deref())?;
    process.log.check_cursor(cursor)?;
    let upgrade = upgrade.map_err(|_| Invalid::request("WebSocket upgrade required"))?;
    Ok(websocket::bounded(upgrade).on_upgrade(async move |socket| {
        let _connected = connected;
        let _activity = commands.count_request();
        let reader = Reader::owner(&process.log, cursor, OwnerKind::Attached);
        serve(socket, &process, reader).await;
    }))
}

/// Forwards frames until the client leaves or the process has ended.
async fn serve(socket: WebSocket, process: &Process, reader: Reader) {
    let (mut sink, mut frames) = socket.split();
    let (answers, waiting) = mpsc::channel(1);
    let close = tokio::select! {
        close = send(&mut sink, reader, waiting) => close,
        close = receive(&mut frames, process, answers) => close,
    };
    let Some((code, last)) = close else {
        return;
    };
    let close = async {
        sink.feed(text(&last)).await?;
        let reason = "".into();
        sink.send(Message::Close(Some(CloseFrame { code, reason })))
            .await?;
        // Until the client has answered: a connection that is dropped with unread bytes discards
        // what the client has not read yet.
        while matches!(frames.next().await, Some(Ok(_))) {}
        Ok::<_, axum::Error>(())
    };
    // Fails when the client is gone.
    let _ = timeout(CLOSE_TIMEOUT, close).await;
}

/// Sends the output, and answers. Returns how to close the connection; `None` when it broke.
async fn send(
    sink: &mut SplitSink<WebSocket, Message>,
    mut reader: Reader,
    mut answers: mpsc::Receiver<Answer>,
) -> Option<(u16, Value)> {
    let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    loop {
        tokio::select! {
            events = reader.next() => {
                // The log ends with an exit or an error, which has returned.
                for event in event::split(&events?) {
                    match output(event) {
                        Some(frame) => sink.feed(Message::Binary(frame)).await.ok()?,
                        None => match message(event)? {
                            (None, gap) => sink.feed(text(&gap)).await.ok()?,
                            (Some(code), last) => return Some((code, last)),
                        },
                    }
                }
                sink.flush().await.ok()?;
            }
            Some(answer) = answers.recv() => match answer {
                Answer::Text(message) => sink.send(text(&message)).await.ok()?,
                Answer::Ping => sink.send(Message::Ping(Bytes::new())).await.ok()?,
                Answer::Pong => sink.flush().await.ok()?,
            },
            _ = ping.tick() => sink.send(Message::Ping(Bytes::new())).await.ok()?,
        }
    }
}

/// The binary frame of an output event.
fn output(event: &[u8]) -> Option<Bytes> {
    let stream = match event::stream_of(event)? {
        OutputStream::Stdout => 1,
        OutputStream::Stderr => 2,
    };
    let mut frame = vec![stream];
    event::decode_output(event, &mut frame);
    Some(frame.into())
}

/// The text frame of another event, and the close code if it is the last one.
fn message(event: &[u8]) -> Option<(Option<u16>, Value)> {
    let (kind, data) = event::parts(event)?;
    let (code, kind) = match kind {
        "exit" => (Some(close_code::NORMAL), "exit"),
        "error" => (Some(close_code::ERROR), "error"),
        _ => (None, "gap"),
    };
    let mut message: Value = serde_json::from_str(data).ok()?;
    let fields = message.as_object_mut()?;
    if let Some(error) = fields.remove("error") {
        fields.insert("message".into(), error);
    }
    fields.insert("type".into(), kind.into());
    Some((code, message))
}

/// Forwards the client's frames until it leaves. Returns how to close the connection, if it is not
/// closed yet.
async fn receive(
    frames: &mut SplitStream<WebSocket>,
    process: &Process,
    answers: mpsc::Sender<Answer>,
) -> Option<(u16, Value)> {
    while let Some(frame) = frames.next().await {
        let answer = match frame {
            Ok(Message::Binary(bytes)) => {
                let written = async { process.stdin.writer(None).await?.write(&bytes).await };
                let pings = async {
                    loop {
                        sleep(WAITING_PING_INTERVAL).await;
                        // Fails when nothing is sent any more.
                        let _ = answers.send(Answer::Ping).await;
                    }
                };
                let written = tokio::select! {
                    written = written => written,
                    () = pings => continue,
                };
                match written {
                    Ok(()) => continue,
                    Err(rejected) => Answer::Text(error(&Error::from(rejected).to_string())),
                }
            }
            Ok(Message::Text(text)) => match serde_json::from_str::<Value>(&text) {
                Ok(message) if message.get("type") == Some(&"close_stdin".into()) => {
                    if let Ok(writer) = process.stdin.writer(None).await {
                        writer.close();
                    }
                    continue;
                }
                _ => Answer::Text(error("the only text message is {\"type\":\"close_stdin\"}")),
            },
            Ok(Message::Ping(_)) => Answer::Pong,
            Ok(Message::Pong(_)) => continue,
            Ok(Message::Close(_)) | Err(_) => return None,
        };
        // Fails when nothing is sent any more.
        let _ = answers.send(answer).await;
    }
    None
}

fn error(message: &str) -> Value {
    json!({ "type": "error", "message": message })
}

fn text(message: &Value) -> Message {
    Message::Text(message.to_string().into())
}
