//! The result of a command as one JSON object, for a client that does not want the stream.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;
use sandbox_protocol::event::{self, Exit, OutputStream};
use sandbox_protocol::exec::{ExecResult, OutputText};

use super::excerpt::Excerpt;
use super::process::Process;
use super::reader::Reader;
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
        let mut outputs = [Excerpt::default(), Excerpt::default()];
        let mut output = Vec::new();
        let mut has_gap = false;
        while let Some(events) = reader.next().await {
            for event in event::split(&events) {
                let Some(stream) = event::stream_of(event) else {
                    has_gap |= event::parts(event).is_some_and(|(kind, _)| kind == "gap");
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
        let mut result = result(exit, stdout, stderr, process.id.to_string());
        // A gap does not tell whose output is missing.
        result.stdout_truncated |= has_gap;
        result.stderr_truncated |= has_gap;
        Ok(result)
    })
    .await
}

fn result(exit: Exit, stdout: Excerpt, stderr: Excerpt, process_id: String) -> ExecResult {
    let (stdout, stdout_truncated) = into_text(stdout);
    let (stderr, stderr_truncated) = into_text(stderr);
    ExecResult {
        exit,
        stdout,
        stderr,
        process_id,
        stdout_truncated,
        stderr_truncated,
    }
}

/// The output as text or base64, and whether bytes in the middle are missing.
fn into_text(output: Excerpt) -> (OutputText, bool) {
    let is_truncated = output.is_truncated();
    (OutputText::new(output.into_bytes()), is_truncated)
}

const _: () = assert!(OutputStream::Stdout as usize == 0 && OutputStream::Stderr as usize == 1);

#[cfg(test)]
mod tests {
    use axum::http::header;

    use sandbox_protocol::exec::RESULT_BYTES;

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
            let mut excerpt = Excerpt::default();
            bytes.chunks(1000).for_each(|chunk| excerpt.push(chunk));
            into_text(excerpt)
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
