//! WebSockets of the bridge. They are opened by the client of all other requests, so they take the
//! same proxies and certificates, and errors are those of an answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode, Upgraded};
use sandbox_protocol::SandboxId;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Error as SocketError};

use crate::error::{Error, Result};
use crate::http::{Bridge, check};

/// A WebSocket.
pub type Socket = WebSocketStream<Upgraded>;

/// Opens a WebSocket of a sandbox. `rest` begins with a slash.
pub async fn open(bridge: &Bridge, sandbox: &SandboxId, rest: &str) -> Result<Socket> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|e| Error::Usage(format!("no random number: {e}")))?;
    let key = STANDARD.encode(nonce);
    let request = bridge.sandbox(Method::GET, sandbox, rest).headers(
        [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
        ]
        .into_iter()
        .map(|(name, value)| {
            let name = reqwest::header::HeaderName::from_static(name);
            (name, reqwest::header::HeaderValue::from_static(value))
        })
        .collect(),
    );
    let request = request.header("sec-websocket-key", &key);
    let response = check(request.send().await.map_err(Error::from_transport)?).await?;
    let accepted = response.headers().get("sec-websocket-accept");
    let is_accepted =
        accepted.is_some_and(|value| value.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes());
    if response.status() != StatusCode::SWITCHING_PROTOCOLS || !is_accepted {
        return Err(Error::Answer(format!(
            "{} in the place of a WebSocket",
            response.status()
        )));
    }
    let stream = response.upgrade().await.map_err(Error::from_transport)?;
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
}

/// The error of a connection that broke.
pub fn lost(error: SocketError) -> Error {
    match error {
        SocketError::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            Error::ConnectionLost("it broke off".to_owned())
        }
        error => Error::ConnectionLost(error.to_string()),
    }
}
