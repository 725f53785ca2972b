//! The result of a command as one JSON object, for a client that does not want the stream.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;
use sandbox_protocol::Tail;
use sandbox_protocol::event::{self, Exit, OutputStream};
use sandbox_protocol::exec::{ExecResult, OutputText, RESULT_BYTES};

use super::process::Process;
use super::reader::Reader;
use crate::process::utf8;
use crate::request_headers::accepts;
use crate::{Error, heartbeat};

/// Whether the client accepts JSON and neither everything nor a stream. Some clients name `*/*`
/// behind JSON and expect the stream.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accepts = |kind| accepts(headers, kind);
    accepts("application/json") && !accepts("*/*") && !accepts(event::CONTENT_TYPE)
}

/// Reads the output of `process` to its end, and answers with the result. Error: 502 when the end of
/// the command is not known.
pub async fn response(process: Arc<Process>, mut reader: Reader) -> Response {
    heartbeat::json(async move {
        let mut outputs = [Collected::new(), Collected::new()];
        let mut output = Vec::new();
        while let Some(events) = reader.next().await {
            for event in event::split(&events) {
                let Some(stream) = event::stream_of(event) else {
                    continue;
                };
                output.clear();
                event::decode_output(event, &mut output);
                if let Some(collected) = outputs.get_mut(stream as usize) {
                    collected.push(&output);
                }
            }
        }
        let exit = process.log.ended().await.result.map_err(Error::Failed)?;
        let [stdout, stderr] = outputs;
        Ok(result(exit, stdout, stderr, process.id.to_string()))
    })
    .await
}

fn result(exit: Exit, stdout: Collected, stderr: Collected, process_id: String) -> ExecResult {
    let (stdout, stdout_truncated) = stdout.into_text();
    let (stderr, stderr_truncated) = stderr.into_text();
    ExecResult {
        exit,
        stdout,
        stderr,
        process_id,
        stdout_truncated,
        stderr_truncated,
    }
}

/// The first and the last part of an output.
struct Collected {
    first: Vec<u8>,
    last: Tail,
    length: usize,
}

impl Collected {
    fn new() -> Self {
        Self {
            first: Vec::new(),
            last: Tail::new(RESULT_BYTES),
            length: 0,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        let (first, rest) = bytes.split_at(bytes.len().min(RESULT_BYTES - self.first.len()));
        self.first.extend_from_slice(first);
        self.last.push(rest);
    }

    /// The output, and whether bytes in the middle are missing. Text is cut between characters.
    fn into_text(self) -> (OutputText, bool) {
        let Self {
            mut first,
            last,
            length,
        } = self;
        let is_truncated = length > 2 * RESULT_BYTES;
        if is_truncated {
            first.truncate(first.len() - utf8::incomplete_tail(&first));
        }
        first.extend(last.bytes());
        (OutputText::new(first), is_truncated)
    }
}

const _: () = assert!(OutputStream::Stdout as usize == 0 && OutputStream::Stderr as usize == 1);

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn only_a_client_that_names_nothing_else_gets_json() {
        for (accept, is_json) in [
            ("application/json", true),
            ("application/json;q=0.9, text/plain", true),
            ("Application/JSON", true),
            ("application/json, text/plain, */*", false),
            ("text/event-stream, application/json", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(is_wanted(&headers), is_json, "{accept}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }

    #[test]
    fn the_middle_of_a_long_output_is_left_out() {
        let text = |bytes: &[u8]| {
            let mut collected = Collected::new();
            bytes.chunks(1000).for_each(|chunk| collected.push(chunk));
            collected.into_text()
        };
        let whole = "é".repeat(RESULT_BYTES);
        assert_eq!(text(whole.as_bytes()), (OutputText::Text(whole), false));
        let long = format!("a{}", "é".repeat(2 * RESULT_BYTES));
        let (OutputText::Text(cut), true) = text(long.as_bytes()) else {
            panic!("not text");
        };
        assert!(cut.starts_with("aé") && cut.ends_with('é'));
        assert!((2 * RESULT_BYTES - 4..=2 * RESULT_BYTES).contains(&cut.len()));
    }
}
