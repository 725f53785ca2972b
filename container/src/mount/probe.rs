//! Looks whether a mount's S3 is answered by the Sandbox object, before anything is mounted. The object is reached by what
//! the runtime does with requests of this sandbox, and only from here can it be seen whether it does that.

use std::io;
use std::time::Duration;

use sandbox_protocol::mount::{Credentials, Endpoint, Remote};
use sandbox_protocol::s3::PROBE_LENGTH;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::Error;
use crate::process::refusal::reason;

/// For so long it is tried: what the runtime does may take a moment to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// For so long one try may take.
const ONE_TRY: Duration = Duration::from_secs(2);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// The most bytes of an answer's head.
const MAX_HEAD: u64 = 16 * 1024;

/// Why the object does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refusal {
    /// Requests do not get there, or not whole.
    Unreached(String),
    /// They do, and the answer is one of failure.
    Status(String),
}

/// Returns once the object answers. Errors: 501 with the reason when it cannot be reached, 502 when it fails.
pub async fn reach(remote: &Remote) -> Result<(), Error> {
    let (Some(endpoint), Some(credentials)) = (&remote.endpoint, &remote.credentials) else {
        return Ok(());
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = match timeout(ONE_TRY, ask(endpoint, credentials)).await {
            Ok(asked) => asked.map_err(|e| Refusal::Unreached(reason(&e))),
            Err(_) => Err(Refusal::Unreached(format!(
                "nothing answered within {} s",
                ONE_TRY.as_secs()
            ))),
        };
        let refusal = match asked.and_then(|head| judge(&head)) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(match refusal {
                Refusal::Unreached(words) => Error::NotSupported(format!(
                    "binding and options.credentialProxy are not supported here: the sandbox's S3 requests do not reach the \
                     Worker ({words}). Mount the bucket by options.endpoint with credentials"
                )),
                Refusal::Status(status) => Error::Mount(format!(
                    "the Worker answers the sandbox's S3 requests with {status}"
                )),
            });
        }
        sleep(PAUSE).await;
    }
}

/// The head of the answer to `HEAD` on the endpoint.
async fn ask(endpoint: &Endpoint, credentials: &Credentials) -> io::Result<String> {
    let rest = endpoint.as_str().split_once("://").map_or("", |(_, rest)| rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // An address in brackets has colons of its own.
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    let address = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let mut connection = TcpStream::connect(address).await?;
    let request = format!(
        "HEAD /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={}/0/auto/s3/aws4_request\r\n\r\n",
        credentials.id()
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(MAX_HEAD).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether this is the object's answer.
fn judge(head: &str) -> Result<(), Refusal> {
    let mut lines = head.lines();
    match lines.next().and_then(|line| line.split(' ').nth(1)) {
        Some("200") => {}
        Some(status) => return Err(Refusal::Status(status.to_owned())),
        None => return Err(Refusal::Unreached("no answer".to_owned())),
    }
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    match length {
        Some(PROBE_LENGTH) => Ok(()),
        // s3fs would take every file for an empty one.
        _ => Err(Refusal::Unreached(
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
            assert!(matches!(judge(head), Err(Refusal::Unreached(_))), "{head}");
        }
        let denied = "HTTP/1.1 403 Forbidden\r\nContent-Length: 4242\r\n\r\n";
        assert_eq!(judge(denied), Err(Refusal::Status("403".to_owned())));
    }

    #[tokio::test]
    async fn the_token_is_shown_at_the_endpoint() {
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
        assert_eq!(judge(&head.unwrap()), Ok(()));
        assert!(
            request.starts_with("HEAD /v1/sandbox/abc/s3 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("Credential=tok/"), "{request}");
    }
}
