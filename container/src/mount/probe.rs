//! Checks that the Sandbox object answers at a mount's endpoint, before anything is mounted. The
//! runtime has to redirect this sandbox's requests to the object, and only the sandbox can see
//! whether it does.
//!
//! An endpoint with `https` is only connected to: there is no TLS here. s3fs has it, and asks for
//! the bucket before it mounts it.

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::uri::Scheme;
use axum::http::{Request, Response, StatusCode, header};
use sandbox_protocol::mount::{Credentials, Endpoint, Remote};
use sandbox_protocol::s3::PROBE_LENGTH;
use tokio::time::{Instant, sleep, timeout};

use crate::Error;
use crate::process::shell_error::os_message;

/// How long to try: the runtime may take a short time until it redirects requests.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one attempt may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Why the object does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ProbeError {
    /// Requests do not reach it, or not unchanged; the reason.
    Unreached(String),
    /// It answers with this status, an error.
    Status(String),
}

/// Returns once the object answers. Errors: 501 with the reason when it cannot be reached, 502 when
/// it fails.
pub async fn reach(remote: &Remote) -> Result<(), Error> {
    let (Some(endpoint), Some(credentials)) = (&remote.endpoint, &remote.credentials) else {
        return Ok(());
    };
    let deadline = Instant::now() + REACH_TIMEOUT;
    loop {
        let asked = match timeout(TRY_TIMEOUT, ask(endpoint, credentials)).await {
            Ok(asked) => asked.map_err(|e| ProbeError::Unreached(os_message(&e))),
            Err(_) => Err(ProbeError::Unreached(format!(
                "nothing answered within {} s",
                TRY_TIMEOUT.as_secs()
            ))),
        };
        let error = match asked.and_then(|answer| answer.as_ref().map_or(Ok(()), judge)) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() + RETRY_INTERVAL >= deadline {
            return Err(match error {
                ProbeError::Unreached(why) => Error::NotSupported(format!(
                    "binding and options.credentialProxy are not supported here: the sandbox's S3 requests do not reach the \
                     Worker ({why}). Mount the bucket by options.endpoint with credentials"
                )),
                ProbeError::Status(status) => Error::Mount(format!(
                    "the Worker answers the sandbox's S3 requests with {status}"
                )),
            });
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// The answer to `HEAD` on the endpoint; `None` for one with `https`, which takes a connection.
async fn ask(endpoint: &Endpoint, credentials: &Credentials) -> io::Result<Option<Response<Bytes>>> {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/0/auto/s3/aws4_request",
        credentials.id()
    );
    let request = Request::head(endpoint.as_str())
        .header(header::AUTHORIZATION, authorization)
        .body(())
        .map_err(io::Error::other)?;
    if request.uri().scheme() == Some(&Scheme::HTTPS) {
        return http1_client::connect(request.uri()).await.map(|_| None);
    }
    http1_client::send(request).await.map(Some)
}

/// Checks that this is the object's answer.
fn judge(answer: &Response<Bytes>) -> Result<(), ProbeError> {
    if answer.status() != StatusCode::OK {
        return Err(ProbeError::Status(answer.status().as_u16().to_string()));
    }
    let length = answer.headers().get(header::CONTENT_LENGTH);
    match length.and_then(|length| length.to_str().ok()?.parse().ok()) {
        Some(PROBE_LENGTH) => Ok(()),
        // s3fs would take every file for an empty one.
        _ => Err(ProbeError::Unreached(
            "answers to HEAD lose their Content-Length on the way".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn answer(status: u16, length: Option<&str>) -> Response<Bytes> {
        let mut answer = Response::builder().status(status);
        if let Some(length) = length {
            answer = answer.header("content-length", length);
        }
        answer.body(Bytes::new()).unwrap()
    }

    #[test]
    fn only_the_objects_own_answer_will_do() {
        assert_eq!(judge(&answer(200, Some("4242"))), Ok(()));
        for length in [None, Some("0"), Some("x")] {
            let judged = judge(&answer(200, length));
            assert!(matches!(judged, Err(ProbeError::Unreached(_))), "{length:?}");
        }
        let denied = answer(403, Some("4242"));
        assert_eq!(judge(&denied), Err(ProbeError::Status("403".to_owned())));
    }

    #[tokio::test]
    async fn the_token_is_sent_to_the_endpoint() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1/sandbox/abc/s3", listener.local_addr().unwrap());
        let endpoint = Endpoint::parse(&endpoint).unwrap();
        let credentials = Credentials::parse("tok", "tok").unwrap();
        let serving = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).await.unwrap();
            connection
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4242\r\n\r\n")
                .await
                .unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        };
        let (request, answer) = tokio::join!(serving, ask(&endpoint, &credentials));
        assert_eq!(judge(&answer.unwrap().unwrap()), Ok(()));
        assert!(
            request.starts_with("HEAD /v1/sandbox/abc/s3 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("Credential=tok/"), "{request}");
    }

    #[tokio::test]
    async fn an_endpoint_with_tls_is_connected_to_and_not_spoken_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://{}/v1", listener.local_addr().unwrap());
        let endpoint = Endpoint::parse(&endpoint).unwrap();
        let credentials = Credentials::parse("tok", "tok").unwrap();
        assert!(ask(&endpoint, &credentials).await.unwrap().is_none());
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        connection.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"");
    }
}
