//! The events of a command's stream, as Server-Sent Events.
//!
//! Only ASCII is written to the wire: clients decode every network chunk as UTF-8 on its own. A
//! field is `name: value` with one space, `id` before `event` before `data`, and an empty line ends
//! the event.

use base64::Engine as _;
use base64::engine::general_purpose;
use serde::{Deserialize, Serialize};

use crate::ErrorBody;
use crate::code::{Bundle, Exception};
use crate::git::CheckoutResult;

/// The most raw bytes of output that one event carries (64 KiB of base64).
pub const MAX_OUTPUT: usize = 48 * 1024;

/// The comment that a silent stream carries at least every [`KEEP_ALIVE_SECONDS`]. One line,
/// without an empty one behind it: there are parsers that dispatch an event at every empty line
/// once they have seen an `id`.
pub const KEEP_ALIVE: &str = ":\n";

/// The longest silence on a stream, in seconds.
pub const KEEP_ALIVE_SECONDS: u64 = 5;

/// The media type of a stream, exactly as clients compare it.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// One event of a command's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes that the command wrote to its standard output, at most [`MAX_OUTPUT`].
    Stdout(Vec<u8>),
    /// Bytes that the command wrote to its standard error, at most [`MAX_OUTPUT`].
    Stderr(Vec<u8>),
    /// The command ended. The last event.
    Exit(Exit),
    /// The command's end is unknown. The last event.
    Error(ErrorBody),
    /// Events are missing here: the log does not have them any more.
    Gap(Gap),
    /// The result of a checkout. `exit` follows.
    Result(CheckoutResult),
    /// Code has displayed a value.
    Display(Box<Bundle>),
    /// An exception has ended code. `exit` follows.
    Exception(Box<Exception>),
}

/// The events that a stream leaves out. The `id` of the gap is that of the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gap {
    /// The id of the first missing event.
    pub first: u64,
    /// The id of the last missing event.
    pub last: u64,
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Exit {
    /// The command's exit status; 128+n when signal n ended it, 124 after a timeout, 126 when it
    /// could not be executed, 127 when it was not found.
    pub exit_code: i32,
    /// The signal's name, like `SIGKILL`, when a signal ended the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Whether `timeout_ms` ended the command.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// The number of a run of code in its context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_count: Option<u64>,
}

/// Which output of a command an event carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
}

impl OutputStream {
    /// Appends the wire form of an output event with the raw bytes `output`, at most
    /// [`MAX_OUTPUT`]. The same as [`Event::write_to`], without a copy of the bytes.
    pub fn write_event(self, id: Option<u64>, output: &[u8], wire: &mut Vec<u8>) {
        write_id(id, wire);
        write_field_names(self.name(), wire);
        let start = wire.len();
        wire.resize(start + output.len().div_ceil(3) * 4, 0);
        if let Some(encoded) = wire.get_mut(start..) {
            encode(output, encoded);
        }
        wire.extend_from_slice(b"\n\n");
    }

    /// The size of what [`write_event`](Self::write_event) appends for `length` bytes of output, in
    /// bytes.
    pub fn event_size(self, id: u64, length: usize) -> usize {
        let digits = id.checked_ilog10().unwrap_or_default() as usize + 1;
        let fields = "id: \nevent: \ndata: \n\n".len() + digits + self.name().len();
        fields + length.div_ceil(3) * 4
    }

    /// The type of its events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl Event {
    /// Whether no event follows this one.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Exit(_) | Self::Error(_))
    }

    /// Appends the event's wire form. `id` counts the events of one command from 1; an event that
    /// the bridge adds to a stream that broke has none.
    pub fn write_to(&self, id: Option<u64>, wire: &mut Vec<u8>) {
        match self {
            Self::Stdout(bytes) => OutputStream::Stdout.write_event(id, bytes, wire),
            Self::Stderr(bytes) => OutputStream::Stderr.write_event(id, bytes, wire),
            Self::Exit(exit) => write_json("exit", id, exit, wire),
            Self::Error(error) => write_json("error", id, error, wire),
            Self::Gap(gap) => write_json("gap", id, gap, wire),
            Self::Result(result) => write_json("result", id, result, wire),
            Self::Display(bundle) => write_json("result", id, bundle, wire),
            Self::Exception(exception) => write_json("exception", id, exception, wire),
        }
    }
}

fn write_id(id: Option<u64>, wire: &mut Vec<u8>) {
    if let Some(id) = id {
        wire.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
}

fn write_field_names(event: &str, wire: &mut Vec<u8>) {
    for part in ["event: ", event, "\ndata: "] {
        wire.extend_from_slice(part.as_bytes());
    }
}

/// The type of an event that broke off: it is no output, and its id does not count.
pub const INCOMPLETE: &str = "incomplete";

/// Whether an event in wire form broke off.
pub fn is_incomplete(event: &[u8]) -> bool {
    let before = event.strip_suffix(b"\n\n").unwrap_or_default();
    let before = before.strip_suffix(INCOMPLETE.as_bytes()).unwrap_or_default();
    before.ends_with(b"\nevent: ")
}

/// The type and the data of an event in wire form.
pub fn parts(event: &[u8]) -> Option<(&str, &str)> {
    let event = std::str::from_utf8(event).ok()?;
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
    Some((field("event: ")?, field("data: ")?))
}

/// The stream whose output an event in wire form has; `None` for another event.
pub fn stream_of(event: &[u8]) -> Option<OutputStream> {
    let is_type = |line: &&[u8]| line.starts_with(b"event: ");
    match event.split(|byte| *byte == b'\n').find(is_type)? {
        b"event: stdout" => Some(OutputStream::Stdout),
        b"event: stderr" => Some(OutputStream::Stderr),
        _ => None,
    }
}

/// The id of an event in wire form, if it has one.
pub fn id_of(event: &[u8]) -> Option<u64> {
    let line = event.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line.strip_prefix(b"id: ")?)
        .ok()?
        .parse()
        .ok()
}

/// The raw output of an event's wire form, as [`OutputStream::write_event`] writes it. Appends it
/// to `output`; nothing for another event.
pub fn decode_output(event: &[u8], output: &mut Vec<u8>) {
    let is_data = |line: &&[u8]| line.starts_with(b"data: ");
    let data = event.split(|byte| *byte == b'\n').find(is_data);
    if let Some(data) = data.and_then(|line| line.get(b"data: ".len()..)) {
        let length = output.len();
        // Fails for the JSON of another event.
        if general_purpose::STANDARD.decode_vec(data, output).is_err() {
            output.truncate(length);
        }
    }
}

/// The events in wire form that follow each other in `wire`.
pub fn split(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|pair| pair == b"\n\n")? + 2;
        let (event, others) = rest.split_at_checked(end)?;
        rest = others;
        Some(event)
    })
}

/// Fills `encoded`, which is exactly as long as the padded base64 of `output`. For a command that
/// prints much, `sandboxd` spends most of its time here, so this uses the CPU's vector instructions
/// where there are any.
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
fn encode(output: &[u8], encoded: &mut [u8]) {
    use base64::engine::Simd;

    static ENGINE: std::sync::LazyLock<Simd> =
        std::sync::LazyLock::new(|| Simd::standard(general_purpose::PAD));
    // Fails only when `encoded` is too short.
    let _ = ENGINE.encode_slice(output, encoded);
}

/// As above, for targets without them (the Worker's).
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
fn encode(output: &[u8], encoded: &mut [u8]) {
    let _ = general_purpose::STANDARD.encode_slice(output, encoded);
}

/// Appends an event whose data is JSON in wire form.
pub fn write_json(event: &str, id: Option<u64>, data: &impl Serialize, wire: &mut Vec<u8>) {
    write_id(id, wire);
    write_field_names(event, wire);
    // These types hold strings and numbers only, which JSON can always express.
    let json = serde_json::to_string(data).unwrap_or_default();
    for c in json.chars() {
        if c.is_ascii() {
            wire.push(c as u8);
        } else {
            // A character outside ASCII can only be inside a string, where an escape means the
            // same.
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                wire.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
    }
    wire.extend_from_slice(b"\n\n");
}

/// The end of a stream that broke off in the middle. A half-sent event gets the type [`INCOMPLETE`]
/// (the last `event` line of an event counts), then the `error` event follows.
pub fn break_off(error: ErrorBody) -> String {
    let mut wire = format!("\nevent: {INCOMPLETE}\n\n").into_bytes();
    Event::Error(error).write_to(None, &mut wire);
    // Only ASCII is ever written.
    String::from_utf8(wire).unwrap_or_default()
}

#[cfg(test)]
mod tests;
