//! A terminal's client.

use std::net::TcpStream;
use std::time::Instant;

use sandbox_protocol::pty::ServerMessage;
use sandbox_protocol::sandboxd::PTY;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::{Sandboxd, TIMEOUT};

/// A terminal that is being used.
pub struct Terminal {
    pub socket: WebSocket<TcpStream>,
    /// Output that was read and not asked for yet.
    pub output: Vec<u8>,
}

/// The frames up to the end of the connection.
#[derive(Debug)]
pub struct Finished {
    pub output: Vec<u8>,
    /// The last text frame.
    pub last: Option<ServerMessage>,
    /// The code of the close; `None` when the connection broke.
    pub close: Option<u16>,
}

impl Finished {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// The exit code of a terminal that ended as it should.
    pub fn code(&self) -> i32 {
        match (&self.last, self.close) {
            (Some(ServerMessage::Exit { code, .. }), Some(1000)) => *code,
            _ => panic!("no exit: {:?} {:?} {}", self.last, self.close, self.text()),
        }
    }

    /// The message of a terminal that ended with an error.
    pub fn error(&self) -> &str {
        match (&self.last, self.close) {
            (Some(ServerMessage::Error { message }), Some(1008 | 1009 | 1011)) => message,
            _ => panic!("no error: {:?} {:?} {}", self.last, self.close, self.text()),
        }
    }
}

impl Terminal {
    /// Opens a terminal and has read its `ready`.
    pub fn open(sandboxd: &Sandboxd, query: &str) -> Self {
        let mut terminal = Self::connect(sandboxd, query);
        assert_eq!(terminal.message(), ServerMessage::Ready);
        terminal
    }

    /// Opens a terminal and runs `line` in it.
    pub fn run(sandboxd: &Sandboxd, line: &str) -> Self {
        let mut terminal = Self::open(sandboxd, "");
        terminal.send(format!("{line}\n"));
        terminal
    }

    /// Connects, and has read nothing.
    pub fn connect(sandboxd: &Sandboxd, query: &str) -> Self {
        let request = Request::get(format!("ws://sandbox{PTY}?{query}"))
            .header("host", "sandbox")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key())
            .body(())
            .unwrap();
        let connection = sandboxd.connect();
        connection.set_nodelay(true).unwrap();
        let (socket, _) = tungstenite::client::client(request, connection).unwrap();
        Self {
            socket,
            output: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl Into<Vec<u8>>) {
        self.socket.send(Message::Binary(bytes.into().into())).unwrap();
    }

    pub fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.send_text(&format!(r#"{{"type":"resize","cols":{cols},"rows":{rows}}}"#));
    }

    /// The next frame, which must be text.
    pub fn message(&mut self) -> ServerMessage {
        match self.frame() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            frame => panic!("no text frame: {frame:?}"),
        }
    }

    /// The next frame that is not a ping.
    pub fn frame(&mut self) -> Message {
        let started = Instant::now();
        loop {
            match self.socket.read().unwrap() {
                Message::Ping(_) => assert!(started.elapsed() < TIMEOUT, "nothing but pings"),
                frame => return frame,
            }
        }
    }

    /// Reads until the output has `text` in it; gives the output up to its end.
    pub fn wait_for(&mut self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let position = self
                .output
                .windows(text.len())
                .position(|window| window == text.as_bytes());
            if let Some(position) = position {
                let rest = self.output.split_off(position + text.len());
                let found = std::mem::replace(&mut self.output, rest);
                return String::from_utf8_lossy(&found).into_owned();
            }
            let is_late = started.elapsed() > TIMEOUT;
            match self.frame() {
                Message::Binary(bytes) if !is_late => self.output.extend_from_slice(&bytes),
                Message::Pong(_) if !is_late => {}
                frame => {
                    let so_far = String::from_utf8_lossy(&self.output);
                    panic!("no {text:?} in {so_far:?}, but {frame:?}");
                }
            }
        }
    }

    /// Reads to the end.
    pub fn finish(mut self) -> Finished {
        let mut finished = Finished {
            output: std::mem::take(&mut self.output),
            last: None,
            close: None,
        };
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < TIMEOUT * 3, "no end: {}", finished.text());
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => {
                    assert_eq!(finished.last, None, "output after the last text frame");
                    finished.output.extend_from_slice(&bytes);
                }
                Ok(Message::Text(text)) => finished.last = Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(close)) => finished.close = close.map(|close| close.code.into()),
                Ok(_) => {}
                Err(_) => return finished,
            }
        }
    }
}
