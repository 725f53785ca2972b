//! The events of a stream, as they arrive.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox_protocol::event::{Exit, Gap, INCOMPLETE, OutputStream};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// The longest event. Those of a command have at most 64 KiB.
const MAX_EVENT: usize = 16 << 20;

/// An event of a command or a process.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes of output.
    Output(OutputStream, Vec<u8>),
    /// Output that the log does not have any more.
    Gap(Gap),
    /// The end.
    Exit(Exit),
    /// An event of another kind.
    Other,
}

/// Takes a stream apart.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    /// The length of what was taken from the buffer.
    taken: usize,
}

impl Parser {
    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..std::mem::take(&mut self.taken));
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event that has arrived to its end, with its id.
    ///
    /// # Errors
    ///
    /// The event is the error that the stream ends with, or has a form that the bridge does not send.
    pub fn next(&mut self) -> Result<Option<(Option<String>, Event)>> {
        loop {
            let rest = self.buffer.get(self.taken..).unwrap_or_default();
            let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") else {
                if rest.len() > MAX_EVENT {
                    return Err(Error::Answer("an event without an end".to_owned()));
                }
                return Ok(None);
            };
            let event = parse(rest.get(..end).unwrap_or_default());
            self.taken += end + 2;
            if let Some(event) = event? {
                return Ok(Some(event));
            }
        }
    }
}

/// The id and the event of some lines. `None`: they have no data. The last line of a name counts.
fn parse(lines: &[u8]) -> Result<Option<(Option<String>, Event)>> {
    let text = std::str::from_utf8(lines).map_err(|e| Error::Answer(e.to_string()))?;
    let field = |name: &str| {
        text.lines()
            .rev()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let Some(data) = field("data:") else {
        return Ok(None);
    };
    let output = |stream| {
        let bytes = STANDARD
            .decode(data)
            .map_err(|e| Error::Answer(format!("output: {e}")))?;
        Ok(Event::Output(stream, bytes))
    };
    let event = match field("event:").unwrap_or_default() {
        "stdout" => output(OutputStream::Stdout)?,
        "stderr" => output(OutputStream::Stderr)?,
        "gap" => Event::Gap(from_json(data)?),
        "exit" => Event::Exit(from_json(data)?),
        "error" => {
            let body: Value = from_json(data)?;
            let error = Error::in_body(0, &body);
            return Err(error.unwrap_or_else(|| Error::Answer("an error without a code".to_owned())));
        }
        INCOMPLETE => return Ok(None),
        _ => Event::Other,
    };
    Ok(Some((field("id:").map(str::to_owned), event)))
}

fn from_json<T: DeserializeOwned>(data: &str) -> Result<T> {
    serde_json::from_str(data).map_err(|e| Error::Answer(format!("an event: {e}")))
}

#[cfg(test)]
mod tests {
    use sandbox_protocol::event::{KEEP_ALIVE, break_off};
    use sandbox_protocol::{ErrorBody, ErrorCode, Event as Wire};

    use super::*;

    #[test]
    fn events_arrive_in_pieces_of_any_size() {
        let mut wire = KEEP_ALIVE.as_bytes().to_vec();
        Wire::Stdout(b"one".to_vec()).write_to(Some(1), &mut wire);
        wire.extend_from_slice(KEEP_ALIVE.as_bytes());
        Wire::Gap(Gap { first: 2, last: 8 }).write_to(Some(8), &mut wire);
        Wire::Stderr(b"two".to_vec()).write_to(Some(9), &mut wire);
        let exit = Exit {
            exit_code: 3,
            ..Exit::default()
        };
        Wire::Exit(exit.clone()).write_to(Some(10), &mut wire);
        for size in [1, 2, 7, 1000] {
            let (mut parser, mut events) = (Parser::default(), Vec::new());
            for piece in wire.chunks(size) {
                parser.push(piece);
                while let Some((id, event)) = parser.next().unwrap() {
                    events.push((id.unwrap(), event));
                }
            }
            let expected = [
                (
                    "1".to_owned(),
                    Event::Output(OutputStream::Stdout, b"one".to_vec()),
                ),
                ("8".to_owned(), Event::Gap(Gap { first: 2, last: 8 })),
                (
                    "9".to_owned(),
                    Event::Output(OutputStream::Stderr, b"two".to_vec()),
                ),
                ("10".to_owned(), Event::Exit(exit.clone())),
            ];
            assert_eq!(events, expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_half_event_before_the_error_is_no_output() {
        let mut parser = Parser::default();
        let error = ErrorBody::new(ErrorCode::ExecTransportError, "lost");
        parser.push(format!("id: 5\nevent: stdout\ndata: QUJD{}", break_off(error)).as_bytes());
        assert!(parser.next().unwrap_err().is_lost());
    }
}
