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

use super::client::{Connection, InputSender, NotTaken, Output};

/// A client that is gone is noticed only by writing to it.
const PING: Duration = Duration::from_millis(4500);

/// How long a client may take to answer the close, until the connection is simply dropped.
const FAREWELL: Duration = Duration::from_secs(2);

/// How many answers to bad frames may wait to be sent. Until there is room, no further frame is read.
const ANSWERS_AHEAD: usize = 1;

/// Why it is we who close the connection: the code, and what is said before it.
type Close = (u16, ServerMessage);

/// Carries a client's frames to and from its terminal until one of them leaves.
/// `first` is the first thing that the terminal said.
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
    // Only now, whoever it was, the terminal has been left.
    if let Some((code, message)) = close {
        let farewell = async {
            sink.feed(text(&message)).await?;
            let reason = "".into();
            sink.send(Message::Close(Some(CloseFrame { code, reason })))
                .await?;
            // Until the client has answered: a connection that is dropped with bytes unread takes along what the client
            // has not read yet. What is too large, though, is not read.
            while code != close_code::SIZE && matches!(frames.next().await, Some(Ok(_))) {}
            if code == close_code::SIZE {
                sleep(FAREWELL).await;
            }
            Ok::<_, axum::Error>(())
        };
        // An error says that the client is gone.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

/// Sends what the terminal says, and answers; why the connection is to be closed, `None` when it broke.
async fn send(
    sink: &mut SplitSink<WebSocket, Message>,
    first: Option<Output>,
    mut output: mpsc::Receiver<Output>,
    mut answers: mpsc::Receiver<ServerMessage>,
) -> Option<Close> {
    let mut ping = interval_at(Instant::now() + PING, PING);
    let mut said = first;
    loop {
        // What is there already goes in one write.
        loop {
            match said {
                Some(Output::Bytes(bytes)) => sink.feed(Message::Binary(bytes)).await.ok()?,
                Some(Output::Message(message)) => match &message {
                    ServerMessage::Ready => sink.feed(text(&message)).await.ok()?,
                    ServerMessage::Exit { .. } => return Some((close_code::NORMAL, message)),
                    ServerMessage::Error { .. } => return Some((close_code::ERROR, message)),
                },
                // The terminal has not ended, and yet this is all.
                None => {
                    let message = "another client has taken this terminal over".to_owned();
                    return Some((close_code::POLICY, ServerMessage::Error { message }));
                }
            }
            said = match output.try_recv() {
                Ok(more) => Some(more),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => break,
            };
        }
        sink.flush().await.ok()?;
        said = loop {
            tokio::select! {
                said = output.recv() => break said,
                Some(answer) = answers.recv() => sink.send(text(&answer)).await.ok()?,
                _ = ping.tick() => sink.send(Message::Ping(Bytes::new())).await.ok()?,
            }
        };
    }
}

/// Hands on what the client sends until it leaves; why the connection is to be closed, if it is not closed yet.
async fn receive(
    frames: &mut SplitStream<WebSocket>,
    size: watch::Sender<Size>,
    input: InputSender,
    answers: mpsc::Sender<ServerMessage>,
) -> Option<Close> {
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(Message::Binary(bytes)) if bytes.is_empty() => {}
            Ok(Message::Binary(bytes)) => {
                match input.send(bytes).await {
                    Ok(()) => {}
                    // What it has to say is on its way.
                    Err(NotTaken::Gone) => return std::future::pending().await,
                    Err(NotTaken::Stuck) => {
                        let message = "the program has taken no input for too long".to_owned();
                        return Some((close_code::ERROR, ServerMessage::Error { message }));
                    }
                    Err(NotTaken::NoRoom(message)) => {
                        return Some((close_code::ERROR, ServerMessage::Error { message }));
                    }
                }
            }
            Ok(Message::Text(text)) => match ClientMessage::parse(&text) {
                Ok(ClientMessage::Resize(new)) => drop(size.send_replace(new)),
                Err(refusal) => {
                    let message = refusal.message().to_owned();
                    // An error says that nothing is sent any more.
                    let _ = answers.send(ServerMessage::Error { message }).await;
                }
            },
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
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
