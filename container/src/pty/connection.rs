//! The WebSocket of a terminal's client.

use std::error::Error as _;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use sandbox_protocol::pty::{ClientMessage, MAX_MESSAGE, ServerMessage, Size};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite;

use super::client::{Connection, InputError, InputSender, Output};

/// The time between two pings: only a write detects that the client is gone.
const PING_INTERVAL: Duration = Duration::from_millis(4500);

/// The time that a client has to answer the close frame, before the connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The number of answers that may wait to be sent. While it is reached, no further frame is read.
const ANSWERS_AHEAD: usize = 1;

/// The answer to a frame of the client.
enum Answer {
    /// A text frame.
    Message(ServerMessage),
    /// The pong that the library has put into its buffer. A client that pings and does not read
    /// must not be read, or the pongs accumulate.
    Pong,
}

/// The close code, and the message before it, when the server closes the connection.
type Close = (u16, ServerMessage);

/// Forwards frames between a client and its terminal until one of them leaves. `first` is the
/// terminal's first output.
pub async fn serve(socket: WebSocket, connection: Connection, first: Option<Output>) {
    let (mut sink, mut frames) = socket.split();
    let Connection { size, input, output } = connection;
    let (answers, waiting_answers) = mpsc::channel(ANSWERS_AHEAD);
    let close = {
        let outgoing = send(&mut sink, first, output, waiting_answers);
        let incoming = receive(&mut frames, size, input, answers);
        tokio::select! {
            close = outgoing => close,
            close = incoming => close,
        }
    };
    // The terminal's channels are dropped by now, whichever side left.
    if let Some((code, message)) = close {
        let close = async {
            sink.feed(text(&message)).await?;
            let reason = "".into();
            sink.send(Message::Close(Some(CloseFrame { code, reason })))
                .await?;
            // Until the client has answered: a connection that is dropped with unread bytes
            // discards what the client has not read yet. A frame that is too large, though, is not
            // read.
            while code != close_code::SIZE && matches!(frames.next().await, Some(Ok(_))) {}
            if code == close_code::SIZE {
                sleep(CLOSE_TIMEOUT).await;
            }
            Ok::<_, axum::Error>(())
        };
        // Fails when the client is gone.
        let _ = timeout(CLOSE_TIMEOUT, close).await;
    }
}

/// Sends the terminal's output, and answers. Returns how to close the connection; `None` when it
/// broke.
async fn send(
    sink: &mut SplitSink<WebSocket, Message>,
    first: Option<Output>,
    mut output: mpsc::Receiver<Output>,
    mut answers: mpsc::Receiver<Answer>,
) -> Option<Close> {
    let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    let mut next = first;
    loop {
        // Output that is there already goes in one write.
        loop {
            match next {
                Some(Output::Bytes(bytes)) => sink.feed(Message::Binary(bytes)).await.ok()?,
                Some(Output::Message(message)) => match &message {
                    ServerMessage::Ready => sink.feed(text(&message)).await.ok()?,
                    ServerMessage::Exit { .. } => return Some((close_code::NORMAL, message)),
                    ServerMessage::Error { .. } => return Some((close_code::ERROR, message)),
                },
                // The channel has closed although the terminal has not ended.
                None => {
                    let message = "another client has taken this terminal over".to_owned();
                    return Some((close_code::POLICY, ServerMessage::Error { message }));
                }
            }
            next = match output.try_recv() {
                Ok(more) => Some(more),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => break,
            };
        }
        sink.flush().await.ok()?;
        next = loop {
            tokio::select! {
                next = output.recv() => break next,
                Some(answer) = answers.recv() => match answer {
                    Answer::Message(message) => sink.send(text(&message)).await.ok()?,
                    Answer::Pong => sink.flush().await.ok()?,
                },
                _ = ping.tick() => sink.send(Message::Ping(Bytes::new())).await.ok()?,
            }
        };
    }
}

/// Forwards the client's frames until it leaves. Returns how to close the connection, if it is not
/// closed yet.
async fn receive(
    frames: &mut SplitStream<WebSocket>,
    size: watch::Sender<Size>,
    input: InputSender,
    answers: mpsc::Sender<Answer>,
) -> Option<Close> {
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(Message::Binary(bytes)) if bytes.is_empty() => {}
            Ok(Message::Binary(bytes)) => {
                match input.send(bytes).await {
                    Ok(()) => {}
                    // Its last output is on its way.
                    Err(InputError::Closed) => return std::future::pending().await,
                    Err(InputError::TimedOut) => {
                        let message = "the program has taken no input for too long".to_owned();
                        return Some((close_code::ERROR, ServerMessage::Error { message }));
                    }
                    Err(InputError::BuffersFull(message)) => {
                        return Some((close_code::ERROR, ServerMessage::Error { message }));
                    }
                }
            }
            Ok(Message::Text(text)) => match ClientMessage::parse(&text) {
                Ok(ClientMessage::Resize(new)) => drop(size.send_replace(new)),
                Err(error) => {
                    let message = error.message().to_owned();
                    // Fails when nothing is sent any more.
                    let _ = answers
                        .send(Answer::Message(ServerMessage::Error { message }))
                        .await;
                }
            },
            // Fails when nothing is sent any more.
            Ok(Message::Ping(_)) => drop(answers.send(Answer::Pong).await),
            Ok(Message::Pong(_)) => {}
            Ok(Message::Close(_)) => return None,
            Err(e) if is_too_large(&e) => {
                let message = format!("a message must not be larger than {MAX_MESSAGE} bytes");
                return Some((close_code::SIZE, ServerMessage::Error { message }));
            }
            Err(_) => return None,
        }
    }
    None
}

fn is_too_large(error: &axum::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(tungstenite::Error::Capacity(_)))
}

fn text(message: &ServerMessage) -> Message {
    Message::Text(message.to_json().into())
}
