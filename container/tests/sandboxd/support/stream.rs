//! Reads the stream of a command off its connection, byte by byte if need be.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox_protocol::event::{self, Exit};

use super::TIMEOUT;

/// A stream that is being read.
pub struct Stream {
    pub head: String,
    reader: BufReader<TcpStream>,
    /// Text that is read and not parsed yet.
    text: String,
    ended: bool,
}

/// An event, or a comment (with no type and no id).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<u64>,
    pub kind: String,
    pub data: String,
}

impl Event {
    pub fn bytes(&self) -> Vec<u8> {
        STANDARD.decode(&self.data).unwrap()
    }
}

/// A whole stream.
#[derive(Debug)]
pub struct Output {
    pub head: String,
    pub events: Vec<Event>,
    pub exit: Exit,
    pub took: Duration,
}

impl Stream {
    pub fn begin(connection: TcpStream, body: &[u8]) -> Self {
        Self::begin_with(connection, "", body)
    }

    /// Begins a command, with more lines in the request's head.
    pub fn begin_with(mut connection: TcpStream, headers: &str, body: &[u8]) -> Self {
        write!(
            connection,
            "POST /exec HTTP/1.1\r\nhost: sandbox\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        connection.write_all(body).unwrap();
        Self::new(connection)
    }

    /// Asks for the stream at `path`.
    pub fn get(mut connection: TcpStream, path: &str) -> Self {
        write!(connection, "GET {path} HTTP/1.1\r\nhost: sandbox\r\n\r\n").unwrap();
        Self::new(connection)
    }

    fn new(connection: TcpStream) -> Self {
        Self {
            head: String::new(),
            reader: BufReader::new(connection),
            text: String::new(),
            ended: false,
        }
    }

    pub fn read_head(&mut self) {
        while !self.head.ends_with("\r\n\r\n") {
            assert_ne!(
                self.reader.read_line(&mut self.head).unwrap(),
                0,
                "no response: {}",
                self.head
            );
        }
        self.head.make_ascii_lowercase();
    }

    /// Reads one more chunk, which must be ASCII.
    fn read_chunk(&mut self) {
        if self.head.is_empty() {
            self.read_head();
        }
        let mut length = String::new();
        let length = match self.head.split_once("content-length: ") {
            Some((_, length)) => {
                self.ended = true;
                length.lines().next().unwrap().parse().unwrap()
            }
            None => {
                self.reader.read_line(&mut length).unwrap();
                let length = usize::from_str_radix(length.trim_end(), 16).expect("a chunk's length");
                self.ended = length == 0;
                length + 2
            }
        };
        let mut chunk = vec![0; length];
        self.reader.read_exact(&mut chunk).unwrap();
        assert!(chunk.is_ascii());
        if !self.head.contains("content-length: ") {
            chunk.truncate(length - 2);
        }
        self.text.push_str(std::str::from_utf8(&chunk).unwrap());
    }

    /// The next event or comment; `None` at the end.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(rest) = self.text.strip_prefix(event::KEEP_ALIVE) {
                self.text = rest.to_owned();
                return Some(Event::default());
            }
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = parse(event);
                self.text = rest.to_owned();
                return Some(event);
            }
            if self.ended {
                assert_eq!(self.text, "", "the stream ends inside an event");
                return None;
            }
            self.read_chunk();
        }
    }

    /// Reads until the standard output contains `text`.
    pub fn wait_for(&mut self, text: &str) {
        let mut output = Vec::new();
        while !String::from_utf8_lossy(&output).contains(text) {
            let event = self.next().expect("the stream ended");
            output.extend(if event.kind == "stdout" {
                event.bytes()
            } else {
                Vec::new()
            });
        }
    }

    /// Reads the whole stream, which must be one of a command that ended.
    pub fn output(self) -> Output {
        let output = self.rest();
        let ids: Vec<_> = output.events.iter().filter_map(|event| event.id).collect();
        assert!(ids.iter().copied().eq(1..=ids.len() as u64), "{ids:?}");
        output
    }

    /// Reads what is left of the stream of a command that ended.
    pub fn rest(mut self) -> Output {
        let started = Instant::now();
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            events.push(event);
            // Comments come as long as the command runs.
            assert!(started.elapsed() < TIMEOUT * 3, "the command does not end");
        }
        let took = started.elapsed();
        assert!(
            self.head.starts_with("http/1.1 200 ok"),
            "{}{events:?}",
            self.head
        );
        let last = events.pop().expect("an event");
        assert_eq!(last.kind, "exit", "{events:?}");
        let exit = serde_json::from_str(&last.data).unwrap();
        Output {
            head: self.head,
            events,
            exit,
            took,
        }
    }
}

fn parse(text: &str) -> Event {
    let mut event = Event::default();
    let mut lines = text.lines();
    let mut field = |name: &str| {
        let line = lines.next().expect("a field");
        line.strip_prefix(name)
            .unwrap_or_else(|| panic!("{name:?} in {line:?}"))
            .to_owned()
    };
    event.id = Some(field("id: ").parse().unwrap());
    event.kind = field("event: ");
    event.data = field("data: ");
    assert_eq!(lines.next(), None);
    event
}

impl Output {
    fn bytes_of(&self, kind: &str) -> Vec<u8> {
        let events = self.events.iter().filter(|event| event.kind == kind);
        events.flat_map(Event::bytes).collect()
    }

    pub fn stdout(&self) -> Vec<u8> {
        self.bytes_of("stdout")
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.stdout()).unwrap()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8(self.bytes_of("stderr")).unwrap()
    }

    pub fn code(&self) -> i32 {
        self.exit.exit_code
    }
}
