//! The result of a run as one JSON object, from the events of its log.

use sandbox_protocol::code::{Bundle, Exception, Execution, Logs};
use sandbox_protocol::event::{self, Exit, OutputStream};

use crate::exec::excerpt::Excerpt;

/// The most bytes of all results together, in wire format.
const MAX_RESULTS: usize = 32 * 1024 * 1024;

/// Collects the parts of an [`Execution`].
pub struct Collector {
    stdout: Text,
    stderr: Text,
    output: Text,
    results: Vec<Bundle>,
    result_bytes: usize,
    exception: Option<Exception>,
    truncated: bool,
    buffer: Vec<u8>,
}

impl Collector {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            stdout: Text::new(),
            stderr: Text::new(),
            output: Text::new(),
            results: Vec::new(),
            result_bytes: 0,
            exception: None,
            truncated: false,
            buffer: Vec::new(),
        }
    }

    /// Adds events in wire format.
    pub fn push(&mut self, events: &[u8]) {
        for event in event::split(events) {
            match event::stream_of(event) {
                Some(stream) => {
                    self.buffer.clear();
                    event::decode_output(event, &mut self.buffer);
                    self.output.push(&self.buffer);
                    match stream {
                        OutputStream::Stdout => self.stdout.push(&self.buffer),
                        OutputStream::Stderr => self.stderr.push(&self.buffer),
                    }
                }
                None => self.push_other(event),
            }
        }
    }

    fn push_other(&mut self, event: &[u8]) {
        match event::parts(event) {
            Some(("result", data)) => {
                let Ok(bundle) = serde_json::from_str::<Bundle>(data) else {
                    return;
                };
                if let Some(text) = bundle.text() {
                    self.output.push_lines(text);
                }
                self.result_bytes += data.len();
                if self.result_bytes > MAX_RESULTS {
                    self.truncated = true;
                } else {
                    self.results.push(bundle);
                }
            }
            Some(("exception", data)) => {
                let Ok(exception) = serde_json::from_str::<Exception>(data) else {
                    return;
                };
                if exception.traceback.is_empty() {
                    self.output
                        .push_lines(&format!("{}: {}", exception.name, exception.message));
                } else {
                    self.output.push_lines(&exception.traceback.join("\n"));
                }
                self.exception = Some(exception);
            }
            Some(("gap", _)) => self.truncated = true,
            _ => {}
        }
    }

    /// The result of a run that has ended with `exit`.
    pub fn finish(self, exit: &Exit, duration_ms: u64, context_id: String, process_id: String) -> Execution {
        let truncated = [&self.stdout, &self.stderr, &self.output]
            .iter()
            .any(|text| text.excerpt.is_truncated());
        let lines = |text: Text| {
            Some(text.into_string())
                .filter(|text| !text.is_empty())
                .into_iter()
                .collect()
        };
        Execution {
            success: exit.exit_code == 0,
            output: self.output.into_string(),
            logs: Logs {
                stdout: lines(self.stdout),
                stderr: lines(self.stderr),
            },
            results: self.results,
            exception: self.exception,
            execution_count: exit.execution_count,
            duration_ms,
            timed_out: exit.timed_out,
            context_id,
            process_id,
            truncated: truncated || self.truncated,
        }
    }
}

/// The first and the last part of a text.
struct Text {
    excerpt: Excerpt,
    ends_line: bool,
}

impl Text {
    fn new() -> Self {
        Self {
            excerpt: Excerpt::default(),
            ends_line: true,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else {
            return;
        };
        self.ends_line = *last == b'\n';
        self.excerpt.push(bytes);
    }

    /// Adds text on lines of its own.
    fn push_lines(&mut self, text: &str) {
        if !self.ends_line {
            self.push(b"\n");
        }
        self.push(text.as_bytes());
        if !self.ends_line {
            self.push(b"\n");
        }
    }

    fn into_string(self) -> String {
        String::from_utf8(self.excerpt.into_bytes())
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use sandbox_protocol::Event;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_output_is_all_text_in_order() {
        let bundle = |text: &str| {
            let data = json!({ "text/plain": text });
            Event::Display(Box::new(Bundle::new(
                data.as_object().unwrap().clone(),
                serde_json::Map::new(),
            )))
        };
        let exception = Exception {
            name: "E".into(),
            message: "m".into(),
            traceback: vec!["t".into()],
            traceback_ansi: Vec::new(),
            line: None,
        };
        let mut wire = Vec::new();
        for event in [
            Event::Stdout(b"a".to_vec()),
            bundle("é"),
            Event::Stderr(b"b\n".to_vec()),
            Event::Exception(Box::new(exception)),
        ] {
            event.write_to(Some(1), &mut wire);
        }
        let mut collector = Collector::new();
        collector.push(&wire);
        let exit = Exit {
            exit_code: 1,
            execution_count: Some(3),
            ..Exit::default()
        };
        let execution = collector.finish(&exit, 5, "c".into(), "p".into());
        assert_eq!(execution.output, "a\né\nb\nt\n");
        assert_eq!(
            (execution.logs.stdout, execution.logs.stderr),
            (vec!["a".to_owned()], vec!["b\n".to_owned()])
        );
        assert_eq!(
            (execution.results.len(), execution.results[0].text()),
            (1, Some("é"))
        );
        assert_eq!((execution.success, execution.execution_count), (false, Some(3)));
        assert!(execution.exception.is_some() && !execution.truncated);
    }
}
