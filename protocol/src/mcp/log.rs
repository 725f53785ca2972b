//! The log of a process as output for a model.

use serde_json::Value;

use super::truncated::{LogPosition, Truncated};
use crate::ErrorBody;
use crate::event::{self, Exit, Gap};

/// A stream of events, read piece by piece.
#[derive(Debug)]
pub struct LogReader {
    /// Bytes that are no whole event yet.
    begun: Vec<u8>,
    output: Truncated,
    /// The bytes of output that are still to be left out.
    skip: u64,
    last: u64,
    end: Option<End>,
}

/// The last event of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The process has ended so.
    Exit(Exit),
    /// Its end is not known, for this reason.
    Error(String),
}

impl LogReader {
    /// A reader of the events after `since` that leaves out the first `skip` bytes of output and keeps
    /// at most `limit` bytes.
    pub fn new(since: u64, skip: u64, limit: usize) -> Self {
        Self {
            begun: Vec::new(),
            output: Truncated::new(limit),
            skip,
            last: since,
            end: None,
        }
    }

    /// Reads the next bytes of the stream.
    pub fn read(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        let begun = std::mem::take(&mut self.begun);
        let mut read = 0;
        for event in event::split(&begun) {
            read += event.len();
            self.event(event);
        }
        self.begun = begun.get(read..).unwrap_or_default().to_vec();
    }

    fn event(&mut self, mut event: &[u8]) {
        while let Some(rest) = event.strip_prefix(event::KEEP_ALIVE.as_bytes()) {
            event = rest;
        }
        if event::is_incomplete(event) {
            return;
        }
        let before = self.last;
        self.last = event::id_of(event).unwrap_or(before);
        let mut bytes = Vec::new();
        match event::parts(event) {
            Some(("stdout" | "stderr", _)) => event::decode_output(event, &mut bytes),
            Some(("exit", data)) => self.end = serde_json::from_str(data).ok().map(End::Exit),
            Some(("error", data)) => {
                let error = serde_json::from_str(data).map(|error: ErrorBody| error.error);
                self.end = Some(End::Error(error.unwrap_or_default()));
            }
            Some(("gap", data)) => {
                if let Ok(Gap { first, last }) = serde_json::from_str(data) {
                    bytes = format!("\n[the log does not have the events {first} to {last} any more]\n")
                        .into_bytes();
                }
            }
            Some((_, data)) => bytes = value_text(data).into_bytes(),
            None => {}
        }
        let skipped = self.skip.min(bytes.len() as u64);
        self.skip -= skipped;
        let at = LogPosition {
            event_id: before,
            byte_offset: skipped,
        };
        self.output
            .push(at, bytes.get(skipped as usize..).unwrap_or_default());
    }

    /// The number of the last event.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The end of the process, if the log has it.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The output, see [`Truncated::finish`].
    pub fn finish(self, notice: impl FnOnce(u64, LogPosition) -> String) -> String {
        self.output.finish(notice)
    }
}

/// The text of a value or an exception of code.
fn value_text(data: &str) -> String {
    let data: Value = serde_json::from_str(data).unwrap_or_default();
    let lines = data
        .get("traceback")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let traceback: Vec<&str> = lines.filter_map(Value::as_str).collect();
    let mut bytes = Vec::new();
    match data.get("text/plain").and_then(Value::as_str) {
        Some(text) => crate::code::output_text(&mut bytes, text),
        None if !traceback.is_empty() => crate::code::output_text(&mut bytes, &traceback.join("\n")),
        None => {}
    }
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn wire(events: &[Event]) -> Vec<u8> {
        let mut wire = Vec::new();
        for (id, event) in (1..).zip(events) {
            wire.extend_from_slice(event::KEEP_ALIVE.as_bytes());
            event.write_to(Some(id), &mut wire);
        }
        wire
    }

    fn events() -> Vec<u8> {
        wire(&[
            Event::Stdout(b"one\n".to_vec()),
            Event::Stderr(b"two\n".to_vec()),
            Event::Gap(Gap { first: 3, last: 3 }),
            Event::Exit(Exit {
                exit_code: 3,
                ..Exit::default()
            }),
        ])
    }

    #[test]
    fn output_is_joined_in_whatever_pieces_it_comes() {
        let wire = events();
        for size in [1, 7, wire.len()] {
            let mut reader = LogReader::new(0, 0, 1000);
            wire.chunks(size).for_each(|piece| reader.read(piece));
            assert_eq!(reader.last(), 4);
            assert!(matches!(reader.end(), Some(End::Exit(exit)) if exit.exit_code == 3));
            let text = reader.finish(|_, _| unreachable!());
            assert_eq!(
                text,
                "one\ntwo\n\n[the log does not have the events 3 to 3 any more]\n"
            );
        }
    }

    #[test]
    fn the_rest_begins_in_the_event_that_was_cut() {
        let mut reader = LogReader::new(0, 0, 12);
        reader.read(&wire(&[
            Event::Stdout(b"abcd".to_vec()),
            Event::Stdout(vec![b'x'; 20]),
        ]));
        let text =
            reader.finish(|left_out, rest| format!("{left_out} {} {}", rest.event_id, rest.byte_offset));
        assert_eq!(text, "abcdxx\n12 1 2\nxxxxxx");
        let mut reader = LogReader::new(0, 5, 100);
        reader.read(&wire(&[
            Event::Stdout(b"abcd".to_vec()),
            Event::Stdout(b"efgh".to_vec()),
        ]));
        assert_eq!(reader.finish(|_, _| unreachable!()), "fgh");
    }
}
