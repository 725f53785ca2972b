//! Reads a command's stream fast: counts what it decodes and keeps nothing. [`sandbar_tests::sse`]
//! is the strict reader.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use memchr::{memchr_iter, memmem};
use serde_json::Value;

use crate::series::Miss;
use crate::time::ms_since;

/// The result of a command's stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ran {
    /// Milliseconds until the first byte of output.
    pub first_byte: Option<f64>,
    /// Milliseconds until the `exit` event.
    pub exit: f64,
    /// Bytes of standard output.
    pub stdout: usize,
}

/// Reads the stream of a command that was asked for at `started`. Anything but an exit with 0 is a
/// failure. What follows the exit is read, so that the connection can be used again, and takes no
/// part in the times.
pub async fn read(response: reqwest::Response, started: Instant) -> Result<Ran, Miss> {
    let mut body = response.bytes_stream();
    let mut stream = Scanner::default();
    let (mut first_byte, mut exit) = (None, None);
    while let Some(bytes) = body.next().await {
        let had_ended = stream.end.is_some();
        stream.push(&bytes.map_err(Miss::failed)?)?;
        if stream.stdout > 0 {
            first_byte.get_or_insert_with(|| ms_since(started));
        }
        if stream.end.is_some() && !had_ended {
            exit = Some(ms_since(started));
        }
    }
    match (stream.end, exit) {
        (Some(0), Some(exit)) => Ok(Ran {
            first_byte,
            exit,
            stdout: stream.stdout,
        }),
        (Some(code), _) => Err(Miss::Failed(format!("exit code {code}"))),
        (None, _) => Err(Miss::Failed("the stream ended without an exit".into())),
    }
}

/// Splits a stream into events, wherever the network cut it.
#[derive(Default)]
struct Scanner {
    /// The beginning of an event whose end has not come.
    rest: Vec<u8>,
    decoded: Vec<u8>,
    stdout: usize,
    end: Option<i64>,
}

impl Scanner {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Miss> {
        // The empty line may have been cut too.
        let from = self.rest.len().saturating_sub(1);
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut start = 0;
        let ends: Vec<usize> = memmem::find_iter(&rest[from..], b"\n\n")
            .map(|end| end + from)
            .collect();
        for end in ends {
            self.event(&rest[start..end])?;
            start = end + 2;
        }
        self.rest = rest;
        self.rest.drain(..start);
        Ok(())
    }

    fn event(&mut self, block: &[u8]) -> Result<(), Miss> {
        let (mut event, mut data) = (&b""[..], &b""[..]);
        for line in lines(block) {
            if let Some(value) = line.strip_prefix(b"event: ") {
                event = value;
            } else if let Some(value) = line.strip_prefix(b"data: ") {
                data = value;
            }
        }
        match event {
            b"stdout" => {
                self.decoded.clear();
                STANDARD
                    .decode_vec(data, &mut self.decoded)
                    .map_err(Miss::failed)?;
                self.stdout += self.decoded.len();
            }
            b"exit" => {
                let exit: Value = serde_json::from_slice(data).map_err(Miss::failed)?;
                self.end = exit["exit_code"].as_i64();
            }
            b"error" => return Err(Miss::Failed(String::from_utf8_lossy(data).into_owned())),
            _ => {}
        }
        Ok(())
    }
}

/// The lines of a block. Most of one is a long line, which `split` would look at byte by byte.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(b'\n', block)
        .chain([block.len()])
        .filter_map(move |end| block.get(std::mem::replace(&mut start, end + 1)..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b":\nid: 1\nevent: stdout\ndata: aGVsbG8=\n\nid: 2\nevent: stderr\ndata: aGE=\n\n\
        id: 3\nevent: stdout\ndata: eA==\n\nid: 4\nevent: exit\ndata: {\"exit_code\":0}\n\n";

    #[test]
    fn cut_anywhere_it_reads_the_same() {
        for cut in 0..=STREAM.len() {
            let mut scanner = Scanner::default();
            scanner.push(&STREAM[..cut]).unwrap();
            scanner.push(&STREAM[cut..]).unwrap();
            assert_eq!((scanner.stdout, scanner.end), (6, Some(0)), "cut at {cut}");
            assert!(scanner.rest.is_empty());
        }
    }

    #[test]
    fn byte_by_byte_too() {
        let mut scanner = Scanner::default();
        for byte in STREAM {
            scanner.push(&[*byte]).unwrap();
        }
        assert_eq!((scanner.stdout, scanner.end), (6, Some(0)));
    }

    #[test]
    fn an_error_event_is_a_failure() {
        let error = Scanner::default().push(b"event: error\ndata: {\"error\":\"lost\"}\n\n");
        assert_eq!(error, Err(Miss::Failed("{\"error\":\"lost\"}".into())));
    }
}
