//! Runs git's own server program.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdout, Command};

use super::MAX_BODY;

/// Runs `git http-backend` as a web server does.
pub(super) async fn http_backend(root: &Path, path: &str, request: Request) -> Response {
    let header = |headers: &HeaderMap, name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let headers = request.headers().clone();
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("REQUEST_METHOD", request.method().as_str())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("CONTENT_TYPE", header(&headers, "content-type"))
        .env("HTTP_CONTENT_ENCODING", header(&headers, "content-encoding"))
        .env("GIT_PROTOCOL", header(&headers, "git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let body = to_bytes(request.into_body(), MAX_BODY).await.expect("a body");
    let mut child = command
        .env("CONTENT_LENGTH", body.len().to_string())
        .spawn()
        .expect("git");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = child.stdout.take().expect("a pipe");
    // The rest of the body is there: it fails only when the program has ended.
    let _ = input.write_all(&body).await;
    drop(input);
    let (head, first) = head(&mut output).await;
    let mut response = Response::builder();
    for line in head.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a header");
        response = if name == "Status" {
            let status = value.split(' ').next().expect("a status");
            response.status(status)
        } else {
            response.header(name, value)
        };
    }
    let rest = stream::unfold(
        (Some(first), output, child),
        async |(first, mut output, child)| {
            if let Some(first) = first {
                return Some((Ok::<_, std::io::Error>(Bytes::from(first)), (None, output, child)));
            }
            let mut buffer = vec![0; 64 * 1024];
            let length = output.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
            buffer.truncate(length);
            Some((Ok(buffer.into()), (None, output, child)))
        },
    );
    response.body(Body::from_stream(rest)).expect("a response")
}

/// The head of a CGI program's output, and the first bytes behind it.
async fn head(output: &mut ChildStdout) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return (String::from_utf8(bytes).expect("ASCII"), rest);
        }
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(60), output.read(&mut buffer));
        let length = read.await.expect("an answer").expect("an answer");
        assert!(length > 0, "no head: {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..length]);
    }
}
