//! Sends one HTTP/1 request over a connection of its own. It has no timeout: its callers have.

use std::error::Error;
use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The most bytes of a response's body.
const MAX_BODY: usize = 1 << 20;

/// Sends `request`, which has no body and whose URI is a whole `http` URL, and returns the response
/// with its body. Sets the headers `Host` and `Connection`.
///
/// # Errors
///
/// The connection's errors; `InvalidInput` for a URI without a host; `Other` when the response is
/// malformed, breaks off, or has a body of more than 1 MiB.
pub async fn send(mut request: Request<()>) -> io::Result<Response<Bytes>> {
    let stream = connect(request.uri()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(cause)?;
    let uri = request.uri().clone();
    set_headers(&uri, request.headers_mut())?;
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or(Uri::from_static("/"), Uri::from);
    let answered = async {
        let response = sender.send_request(request.map(|()| Empty::<Bytes>::new()));
        let (head, body) = response.await.map_err(cause)?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    // An error of the connection is also that of the response.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        response = answered => response,
        never = driven => never,
    }
}

/// Sends `request` to the server of an `http` URL and returns the response; both bodies are streams.
/// The request's URI is a path with a query. Sets the headers `Host` and `Connection`. The response's
/// body ends the connection when it is dropped.
///
/// # Errors
///
/// The connection's errors; `InvalidInput` for a URI without a host; `Other` when the response is
/// malformed.
pub async fn forward<B>(server: &Uri, mut request: Request<B>) -> io::Result<Response<Incoming>>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let stream = connect(server).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(cause)?;
    set_headers(server, request.headers_mut())?;
    // Its errors are those of the response and its body.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(cause)
}

/// Connects to the server of an `http` or `https` URL.
///
/// # Errors
///
/// The connection's errors; `InvalidInput` for a URI without a host.
pub async fn connect(uri: &Uri) -> io::Result<TcpStream> {
    TcpStream::connect(address(uri)?).await
}

fn set_headers(uri: &Uri, headers: &mut HeaderMap) -> io::Result<()> {
    let host = HeaderValue::from_str(authority(uri)?.as_str()).map_err(io::Error::other)?;
    headers.insert(HOST, host);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(())
}

/// Host and port. An IPv6 address keeps its brackets.
fn address(uri: &Uri) -> io::Result<String> {
    let authority = authority(uri)?;
    let default_port = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = authority.port_u16().unwrap_or(default_port);
    Ok(format!("{}:{port}", authority.host()))
}

fn authority(uri: &Uri) -> io::Result<&Authority> {
    uri.authority()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the URL has no host"))
}

/// The error of the connection itself, where there is one: its message says more than hyper's.
fn cause(error: hyper::Error) -> io::Error {
    match error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
    {
        Some(source) => io::Error::new(source.kind(), source.to_string()),
        None => io::Error::other(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// The request that a server gets which answers with these bytes, and what becomes of them.
    async fn exchange(answer: &str) -> (String, io::Result<Response<Bytes>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/a?b=c", listener.local_addr().unwrap());
        let request = Request::get(url).header("x-key", "k").body(()).unwrap();
        let serving = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).await.unwrap();
            connection.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        };
        tokio::join!(serving, send(request))
    }

    #[test]
    fn the_port_is_that_of_the_url_or_of_its_scheme() {
        for (url, expected) in [
            ("https://host/a", "host:443"),
            ("http://[::1]", "[::1]:80"),
            ("https://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(address(&Uri::from_static(url)).unwrap(), expected);
        }
        assert!(address(&Uri::from_static("/a")).is_err());
    }

    #[tokio::test]
    async fn a_request_is_sent_with_its_headers_and_the_host() {
        let (request, response) = exchange("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
        for line in ["x-key: k\r\n", "host: 127.0.0.1:", "connection: close\r\n"] {
            assert!(request.contains(line), "{request}");
        }
        assert_eq!(response.unwrap().status(), 204);
    }

    #[tokio::test]
    async fn a_body_comes_in_chunks_or_ends_with_the_connection() {
        for answer in [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            "HTTP/1.0 200 OK\r\n\r\nbody",
        ] {
            let (_, response) = exchange(answer).await;
            assert_eq!(response.unwrap().body(), "body", "{answer}");
        }
    }

    #[tokio::test]
    async fn a_response_that_breaks_off_is_an_error() {
        for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody"] {
            assert!(exchange(answer).await.1.is_err(), "{answer}");
        }
    }
}
