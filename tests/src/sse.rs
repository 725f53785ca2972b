//! Reads a command's stream as strictly as the strictest real client: ASCII only, `id` before
//! `event` before `data`, no id twice, none missing but those that a `gap` names.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sandbox_protocol::event::KEEP_ALIVE;
use serde_json::Value;

/// One thing read from a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Decoded output: `true` for standard error.
    Output(bool, Vec<u8>),
    /// The data of `exit`.
    Exit(Value),
    /// The data of `error`.
    Error(Value),
    /// The data of `result`.
    Result(Value),
    /// The data of `exception`.
    Exception(Value),
    /// The number of events that a `gap` stands for.
    Gap(u64),
    /// A comment line.
    Comment,
}

/// A stream being read.
pub struct Events {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: Vec<u8>,
    start: usize,
    last_id: u64,
    skips: bool,
}

/// A stream read to its end.
#[derive(Debug, Default, Clone)]
pub struct Finished {
    /// All of standard output.
    pub stdout: Vec<u8>,
    /// All of standard error.
    pub stderr: Vec<u8>,
    /// The data of `exit`, if it came.
    pub exit: Option<Value>,
    /// The data of `error`, if it came.
    pub error: Option<Value>,
    /// The data of `result`, if it came.
    pub result: Option<Value>,
    /// The data of `exception`, if it came.
    pub exception: Option<Value>,
    /// How many events are missing, as `gap` events say.
    pub missing: u64,
    /// How many comments came.
    pub comments: usize,
    /// Whether the connection broke instead of ending.
    pub broke: bool,
    /// The longest time in which nothing at all arrived.
    pub longest_silence: Duration,
}

impl Finished {
    /// The exit code; panics with what came instead.
    pub fn code(&self) -> i64 {
        self.exit
            .as_ref()
            .and_then(|exit| exit["exit_code"].as_i64())
            .unwrap_or_else(|| panic!("no exit: {self:?}"))
    }

    /// Asserts that the sandbox was lost under the command: an `error` event that says so, and no
    /// invented exit.
    pub fn assert_broken_off(&self) {
        assert!(
            self.exit.is_none() && !self.broke,
            "no invented exit: {:?} {:?}",
            self.exit,
            self.broke
        );
        assert_eq!(
            self.error.as_ref().expect("an error event")["code"],
            "exec_transport_error"
        );
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Events {
    /// Reads the body of a response.
    pub fn new(body: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static) -> Self {
        Self::after(0, body)
    }

    /// Reads the body of a response that continues behind the event `last_id`.
    pub fn after(last_id: u64, body: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static) -> Self {
        Self {
            body: body.boxed(),
            buffer: Vec::new(),
            start: 0,
            last_id,
            skips: false,
        }
    }

    /// The same stream, of one output only: the ids of the other are missing.
    pub fn of_one_output(mut self) -> Self {
        self.skips = true;
        self
    }

    /// The id of the last event that was read.
    pub fn last_id(&self) -> u64 {
        self.last_id
    }

    /// The next item; `None` at the end; `Err` when the connection broke.
    pub async fn next(&mut self) -> Option<reqwest::Result<Item>> {
        loop {
            if self.buffer[self.start..].starts_with(KEEP_ALIVE.as_bytes()) {
                self.start += KEEP_ALIVE.len();
                return Some(Ok(Item::Comment));
            }
            if let Some(end) = find(&self.buffer[self.start..]) {
                let block = self.buffer[self.start..self.start + end].to_vec();
                self.start += end + 2;
                match self.parse(&block) {
                    Some(item) => return Some(Ok(item)),
                    None => continue,
                }
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            match self.body.next().await? {
                Ok(bytes) => {
                    assert!(bytes.is_ascii(), "only ASCII goes on the wire");
                    self.buffer.extend_from_slice(&bytes);
                }
                Err(e) => return Some(Err(e)),
            }
        }
    }

    /// Reads to the end.
    pub async fn finish(mut self) -> Finished {
        let mut finished = Finished::default();
        let mut last = Instant::now();
        while let Some(item) = self.next().await {
            finished.longest_silence = finished.longest_silence.max(last.elapsed());
            last = Instant::now();
            assert!(
                finished.exit.is_none() && finished.error.is_none(),
                "exit and error are the last event"
            );
            match item {
                Ok(Item::Output(false, bytes)) => finished.stdout.extend(bytes),
                Ok(Item::Output(true, bytes)) => finished.stderr.extend(bytes),
                Ok(Item::Exit(exit)) => finished.exit = Some(exit),
                Ok(Item::Error(error)) => finished.error = Some(error),
                Ok(Item::Result(result)) => finished.result = Some(result),
                Ok(Item::Exception(exception)) => finished.exception = Some(exception),
                Ok(Item::Gap(events)) => finished.missing += events,
                Ok(Item::Comment) => finished.comments += 1,
                Err(_) => {
                    finished.broke = true;
                    break;
                }
            }
        }
        finished
    }

    fn parse(&mut self, block: &[u8]) -> Option<Item> {
        let block = std::str::from_utf8(block).expect("ASCII");
        let mut lines = block.lines();
        let mut line = lines.next();
        let id = line.and_then(|line| line.strip_prefix("id: "));
        let id: Option<u64> = id.map(|id| id.parse().expect("a number"));
        if id.is_some() {
            line = lines.next();
        }
        let Some(event) = line.and_then(|line| line.strip_prefix("event: ")) else {
            // The rest of an event that a broken connection cut.
            assert!(
                block.contains("event: incomplete"),
                "an event without a name: {block:?}"
            );
            return None;
        };
        let Some(data) = lines.next().and_then(|line| line.strip_prefix("data: ")) else {
            assert!(
                block.contains("event: incomplete"),
                "an event without data: {block:?}"
            );
            return None;
        };
        if let Some(rest) = lines.next() {
            assert_eq!(
                rest, "event: incomplete",
                "more lines than an event has: {block:?}"
            );
            return None;
        }
        let json = || serde_json::from_str::<Value>(data).expect("JSON");
        let expected = self.last_id + 1;
        if let Some(id) = id {
            let has_gap = self.skips || event == "gap";
            assert!(
                id == expected || has_gap && id > expected,
                "{event} {id} instead of {expected}"
            );
            self.last_id = id;
        }
        Some(match event {
            "stdout" | "stderr" => {
                let bytes = STANDARD.decode(data).expect("padded base64");
                assert!(
                    !bytes.is_empty() && bytes.len() <= 48 * 1024,
                    "an event has 1 to 48 KiB: {}",
                    bytes.len()
                );
                Item::Output(event == "stderr", bytes)
            }
            "exit" => Item::Exit(json()),
            "error" => Item::Error(json()),
            "result" => Item::Result(json()),
            "exception" => Item::Exception(json()),
            "gap" => {
                let gap = json();
                let first = gap["first"].as_u64().expect("a number");
                assert!(first == expected || self.skips && first > expected, "{gap}");
                assert_eq!(gap["last"], self.last_id);
                Item::Gap(self.last_id + 1 - first)
            }
            "incomplete" => return None,
            _ => panic!("unknown event {event}"),
        })
    }
}

fn find(buffer: &[u8]) -> Option<usize> {
    // Output has no newline inside, so the search skips from one newline to the next.
    let mut from = 0;
    while let Some(i) = buffer[from..].iter().position(|b| *b == b'\n') {
        if buffer.get(from + i + 1) == Some(&b'\n') {
            return Some(from + i);
        }
        from += i + 1;
    }
    None
}
