//! A terminal's client, as strict as the strictest real one: every text frame is a JSON object, the
//! first frame of all is `ready`, and nothing comes after `exit`.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::client::Sandbox;

/// The timeout for anything that should happen.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A terminal that is being used.
pub struct Terminal {
    /// Its WebSocket.
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    output: Vec<u8>,
}

/// The frames up to the end of the connection.
#[derive(Debug)]
pub struct Ended {
    /// All output that was not asked for before.
    pub output: Vec<u8>,
    /// The last text frame.
    pub last: Option<Value>,
    /// The code of the close; `None` when the connection broke.
    pub close: Option<u16>,
}

impl Ended {
    /// The output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// The exit code of a terminal that ended as it should; panics with what came instead.
    pub fn code(&self) -> i64 {
        match &self.last {
            Some(last) if last["type"] == "exit" && self.close == Some(1000) => last["code"].as_i64(),
            _ => None,
        }
        .unwrap_or_else(|| panic!("no exit: {:?} {:?} {}", self.last, self.close, self.text()))
    }

    /// Asserts that the sandbox was lost under the terminal: an `error` or an abnormal close, and
    /// no invented exit.
    pub fn assert_broken_off(&self) {
        let last_type = self.last.as_ref().map(|last| last["type"].clone());
        assert!(
            last_type.is_none() || last_type == Some("error".into()),
            "an invented exit: {self:?}"
        );
        assert!(
            last_type.is_some() || self.close != Some(1000),
            "a normal close: {self:?}"
        );
    }
}

/// A request for a terminal: the sandbox's, with `query` and headers. `None` sends no
/// `Authorization`.
pub fn request(sandbox: &Sandbox, query: &str, key: Option<&str>) -> http::Request<()> {
    let url = format!(
        "{}/v1/sandbox/{}/pty?{query}",
        sandbox.client.bridge.url.replacen("http", "ws", 1),
        sandbox.id
    );
    let mut request = url.into_client_request().expect("a URL");
    if let Some(key) = key {
        let value = format!("Bearer {key}").parse().expect("a header's value");
        request.headers_mut().insert("authorization", value);
    }
    request
}

impl Terminal {
    /// Opens a terminal and has read its `ready`.
    pub async fn open(sandbox: &Sandbox, query: &str) -> Self {
        let key = sandbox.client.bridge.key.as_str();
        let mut terminal = Self::connect(request(sandbox, query, Some(key)))
            .await
            .unwrap_or_else(|e| panic!("no WebSocket: {e}"));
        assert_eq!(terminal.message().await, json!({ "type": "ready" }));
        terminal
    }

    /// Opens a terminal and runs `line` in it, as the OpenAI client does.
    pub async fn run(sandbox: &Sandbox, line: &str) -> Self {
        let mut terminal = Self::open(sandbox, "cols=80&rows=24").await;
        terminal.send(format!("{line}\n")).await;
        terminal
    }

    /// Connects, and has read nothing. The error says why there is no WebSocket.
    pub async fn connect(request: http::Request<()>) -> Result<Self, tungstenite::Error> {
        let connected = tokio_tungstenite::connect_async_with_config(request, None, true);
        let (socket, _) = timeout(TIMEOUT, connected).await.expect("an answer")?;
        Ok(Self {
            socket,
            output: Vec::new(),
        })
    }

    /// Sends input.
    pub async fn send(&mut self, bytes: impl Into<Vec<u8>>) {
        let frame = Message::Binary(bytes.into().into());
        self.socket.send(frame).await.expect("a frame sent");
    }

    /// Sends a text frame.
    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("a frame sent");
    }

    /// Sends the new size of the window.
    pub async fn resize(&mut self, cols: u16, rows: u16) {
        let resize = json!({ "type": "resize", "cols": cols, "rows": rows });
        self.send_text(&resize.to_string()).await;
    }

    /// The next frame, which must be text.
    pub async fn message(&mut self) -> Value {
        match self.frame().await {
            Message::Text(text) => object(&text),
            frame => panic!("no text frame: {frame:?}"),
        }
    }

    /// The next frame that is neither ping nor pong.
    pub async fn frame(&mut self) -> Message {
        let next = async {
            loop {
                match self.socket.next().await.expect("a frame").expect("a connection") {
                    Message::Ping(_) | Message::Pong(_) => {}
                    frame => return frame,
                }
            }
        };
        timeout(TIMEOUT, next).await.expect("a frame in time")
    }

    /// Reads until the output has `text` in it; gives the output up to its end.
    pub async fn wait_for(&mut self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let mut windows = self.output.windows(text.len());
            if let Some(position) = windows.position(|window| window == text.as_bytes()) {
                let rest = self.output.split_off(position + text.len());
                let found = std::mem::replace(&mut self.output, rest);
                return String::from_utf8_lossy(&found).into_owned();
            }
            let is_late = started.elapsed() > TIMEOUT;
            match self.frame().await {
                Message::Binary(bytes) if !is_late => self.output.extend_from_slice(&bytes),
                frame => panic!(
                    "no {text:?} in {:?}, but {frame:?}",
                    String::from_utf8_lossy(&self.output)
                ),
            }
        }
    }

    /// Reads to the end.
    pub async fn finish(self) -> Ended {
        let Self { mut socket, output } = self;
        let mut ended = Ended {
            output,
            last: None,
            close: None,
        };
        let rest = async {
            while let Some(Ok(frame)) = socket.next().await {
                let has_exited = ended.last.as_ref().is_some_and(|last| last["type"] == "exit");
                match frame {
                    Message::Binary(bytes) => {
                        assert!(!has_exited, "output after the exit");
                        ended.output.extend_from_slice(&bytes);
                    }
                    Message::Text(text) => {
                        assert!(!has_exited, "a text frame after the exit: {text}");
                        ended.last = Some(object(&text));
                    }
                    Message::Close(close) => ended.close = close.map(|close| close.code.into()),
                    _ => {}
                }
            }
        };
        let has_ended = timeout(TIMEOUT * 4, rest).await.is_ok();
        assert!(has_ended, "no end: {ended:?}");
        ended
    }
}

fn object(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text:?}"));
    assert!(value.is_object(), "no object: {text:?}");
    value
}
