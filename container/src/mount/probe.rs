//! Checks that the Sandbox object answers at a mount's endpoint, before anything is mounted. The
//! runtime has to redirect this sandbox's requests to the object, and only the sandbox can see
//! whether it does.
//!
//! An endpoint with `https` is only connected to: there is no TLS here. s3fs has it, and asks for
//! the bucket before it mounts it.

use std::io;
use std::time::Duration;

use sandbox_protocol::mount::{Credentials, Endpoint, Remote};
use sandbox_protocol::s3::PROBE_LENGTH;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::Error;
use crate::process::shell_error::os_message;

/// How long to try: the runtime may take a short time until it redirects requests.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one attempt may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// The most bytes of an answer's head.
const MAX_HEAD: u64 = 16 * 1024;

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
        let error = match asked.and_then(|head| head.map_or(Ok(()), |head| judge(&head))) {
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

/// The head of the answer to `HEAD` on the endpoint; `None` for one with `https`, which takes a
/// connection.
async fn ask(endpoint: &Endpoint, credentials: &Credentials) -> io::Result<Option<String>> {
    let (scheme, rest) = endpoint.as_str().split_once("://").unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_https = scheme == "https";
    let mut connection = TcpStream::connect(address(authority, if is_https { 443 } else { 80 })).await?;
    if is_https {
        return Ok(None);
    }
    let request = format!(
        "HEAD /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={}/0/auto/s3/aws4_request\r\n\r\n",
        credentials.id()
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(MAX_HEAD).read_to_end(&mut answer).await?;
    Ok(Some(String::from_utf8_lossy(&answer).into_owned()))
}

/// The address to connect to for an authority, which may have a port.
fn address(authority: &str, default_port: u16) -> String {
    // An address in brackets contains colons.
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    match has_port {
        true => authority.to_owned(),
        false => format!("{authority}:{default_port}"),
    }
}

/// Checks that this is the object's answer.
fn judge(head: &str) -> Result<(), ProbeError> {
    let mut lines = head.lines();
    match lines.next().and_then(|line| line.split(' ').nth(1)) {
        Some("200") => {}
        Some(status) => return Err(ProbeError::Status(status.to_owned())),
        None => return Err(ProbeError::Unreached("no answer".to_owned())),
    }
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    match length {
        Some(PROBE_LENGTH) => Ok(()),
        // s3fs would take every file for an empty one.
        _ => Err(ProbeError::Unreached(
            "answers to HEAD lose their Content-Length on the way".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_the_objects_own_answer_will_do() {
        assert_eq!(judge("HTTP/1.1 200 OK\r\nContent-Length: 4242\r\n\r\n"), Ok(()));
        assert_eq!(
            judge("HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length:4242\r\n"),
            Ok(())
        );
        for head in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(matches!(judge(head), Err(ProbeError::Unreached(_))), "{head}");
        }
        let denied = "HTTP/1.1 403 Forbidden\r\nContent-Length: 4242\r\n\r\n";
        assert_eq!(judge(denied), Err(ProbeError::Status("403".to_owned())));
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
        let (request, head) = tokio::join!(serving, ask(&endpoint, &credentials));
        assert_eq!(judge(&head.unwrap().unwrap()), Ok(()));
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
        assert_eq!(ask(&endpoint, &credentials).await.unwrap(), None);
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        connection.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"");

        assert_eq!(address("host", 443), "host:443");
        assert_eq!(address("[::1]", 80), "[::1]:80");
        assert_eq!(address("[::1]:8080", 443), "[::1]:8080");
    }
}
