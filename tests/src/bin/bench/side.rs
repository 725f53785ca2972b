//! A bridge that is measured, with a sandbox that runs. Unlike the tests' client it does not panic
//! on a failure: a bench counts it.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use sandbar_tests::{Bridge, Client};
use serde_json::{Value, json};

use crate::series::Miss;
use crate::sse::{self, Ran};
use crate::time::ms_since;

/// How long one measurement may take before it counts as failed.
pub const MEASUREMENT_TIMEOUT: Duration = Duration::from_secs(180);

/// The session that is measured.
const SESSION: &str = "bench";

/// A bridge under measurement.
pub struct Side {
    /// The bridge.
    pub client: Client,
    /// The id of the sandbox that single requests are measured on.
    pub sandbox: String,
    /// Whether there are sessions.
    pub has_sessions: bool,
}

/// Where commands can be executed: a sandbox of a bridge, or a `sandboxd` itself.
#[derive(Clone)]
pub struct Exec(RequestBuilderOf);

/// A request that is sent again and again: it is cloned, headers and all.
type RequestBuilderOf = std::sync::Arc<RequestBuilder>;

impl Side {
    /// Creates a sandbox and starts it. A bridge where that fails cannot be measured.
    pub async fn open(bridge: &Bridge) -> Result<Self, Miss> {
        let mut side = Self {
            client: Client::new(bridge),
            sandbox: String::new(),
            has_sessions: false,
        };
        side.sandbox = side.create().await?;
        side.exec(&side.sandbox).run(&["true"]).await?;
        let session = side
            .request(&side.sandbox, Method::POST, "/session")
            .json(&json!({ "id": SESSION }));
        side.has_sessions = offered(send(session).await?).await.is_ok();
        Ok(side)
    }

    /// A request to a sandbox of this bridge, with the key.
    pub fn request(&self, sandbox: &str, method: Method, rest: &str) -> RequestBuilder {
        self.client
            .request(method, &format!("/v1/sandbox/{sandbox}{rest}"))
    }

    /// `POST /v1/sandbox`: the new id.
    pub async fn create(&self) -> Result<String, Miss> {
        let created: Value = accepted(send(self.client.request(Method::POST, "/v1/sandbox")).await?)
            .await?
            .json()
            .await
            .map_err(Miss::failed)?;
        match created["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(Miss::Failed(format!("no id in {created}"))),
        }
    }

    /// `DELETE`
    pub async fn destroy(&self, sandbox: &str) -> Result<(), Miss> {
        let response = send(self.request(sandbox, Method::DELETE, "")).await?;
        if response.status() == StatusCode::NO_CONTENT {
            Ok(())
        } else {
            Err(Miss::Failed(response.status().to_string()))
        }
    }

    /// `POST exec` in a sandbox of this bridge.
    pub fn exec(&self, sandbox: &str) -> Exec {
        Exec::at(self.request(sandbox, Method::POST, "/exec"))
    }

    /// `POST exec` in the session that is measured.
    pub fn exec_in_session(&self) -> Result<Exec, Miss> {
        if !self.has_sessions {
            return Err(Miss::NotOffered);
        }
        let request = self.request(&self.sandbox, Method::POST, "/exec");
        Ok(Exec::at(request.header("Session-Id", SESSION)))
    }

    /// Milliseconds of a `GET` whose answer is read to its end; `path` begins with a slash.
    pub async fn get(&self, path: &str) -> Result<f64, Miss> {
        time_of(self.client.request(Method::GET, path)).await
    }
}

impl Exec {
    /// By a request that lacks its body only.
    pub fn at(request: RequestBuilder) -> Self {
        Self(std::sync::Arc::new(request))
    }

    /// Runs a command to its end; anything but an exit with 0 is a failure.
    pub async fn run(&self, argv: &[&str]) -> Result<Ran, Miss> {
        let request = self.0.try_clone().ok_or(Miss::Failed("no request".into()))?;
        let request = request.json(&json!({ "argv": argv }));
        let started = Instant::now();
        sse::read(accepted(send(request).await?).await?, started).await
    }

    /// Milliseconds to the exit of a command.
    pub async fn time(&self, argv: &[&str]) -> Result<f64, Miss> {
        Ok(self.run(argv).await?.exit)
    }
}

/// Sends a request; the error is that of the connection.
pub async fn send(request: RequestBuilder) -> Result<Response, Miss> {
    request.send().await.map_err(|e| {
        // reqwest's own message leaves out the reason: the last cause has it.
        let mut cause: &dyn Error = &e;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Miss::failed(cause)
    })
}

/// A response that is 200; any other is a failure with its text.
pub async fn accepted(response: Response) -> Result<Response, Miss> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(Miss::Failed(format!(
        "{status} {}",
        text.chars().take(200).collect::<String>()
    )))
}

/// The same, where a bridge may lack what was asked for.
pub async fn offered(response: Response) -> Result<Response, Miss> {
    if is_unknown(response.status()) {
        return Err(Miss::NotOffered);
    }
    accepted(response).await
}

/// Whether a status says that there is no such operation.
pub fn is_unknown(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 501)
}

/// Milliseconds of a request whose answer, 200, is read to its end.
pub async fn time_of(request: RequestBuilder) -> Result<f64, Miss> {
    let started = Instant::now();
    count(accepted(send(request).await?).await?).await?;
    Ok(ms_since(started))
}

/// How many bytes the body of a response has.
pub async fn count(response: Response) -> Result<usize, Miss> {
    let mut body = response.bytes_stream();
    let mut bytes = 0;
    while let Some(chunk) = body.next().await {
        bytes += chunk.map_err(Miss::failed)?.len();
    }
    Ok(bytes)
}

/// A request with a body of a known length that is made while it is sent.
pub fn with_body(
    request: RequestBuilder,
    length: usize,
    chunks: impl Iterator<Item = Bytes> + Send + Sync + 'static,
) -> RequestBuilder {
    let chunks = stream::iter(chunks.map(Ok::<_, std::io::Error>));
    request
        .header(header::CONTENT_LENGTH, length)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .body(reqwest::Body::wrap_stream(chunks))
}
