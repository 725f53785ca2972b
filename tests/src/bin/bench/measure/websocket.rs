//! WebSockets of the bridge, for the measurements of attached processes and of ports.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::line::Unit;
use crate::series::{Miss, Sample, Series};
use crate::side::Side;
use crate::time::ms_since;

/// The number of frames that one sample sends.
const FRAMES: usize = 20;

/// How long the other side may be silent.
pub const SILENCE: Duration = Duration::from_secs(10);

/// An open WebSocket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a WebSocket of the sandbox; `path` begins with a slash.
pub async fn socket(side: &Side, path: &str) -> Result<Socket, Miss> {
    let bridge = &side.client.bridge;
    let url = bridge.url.replacen("http", "ws", 1);
    let url = format!("{url}/v1/sandbox/{}{path}", side.sandbox);
    let mut request = url.into_client_request().map_err(Miss::failed)?;
    let key = HeaderValue::try_from(format!("Bearer {}", bridge.key)).map_err(Miss::failed)?;
    request.headers_mut().insert("authorization", key);
    let connected = connect_async_with_config(request, None, true).await;
    Ok(connected.map_err(Miss::failed)?.0)
}

/// The next binary frame.
pub async fn frame(socket: &mut Socket) -> Result<usize, Miss> {
    loop {
        match timeout(SILENCE, socket.next()).await {
            Ok(Some(Ok(Message::Binary(bytes)))) => return Ok(bytes.len()),
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_)))) => {}
            other => return Err(Miss::Failed(format!("{other:?} in place of a frame"))),
        }
    }
}

/// Milliseconds that a byte takes through what echoes it: the median of [`FRAMES`].
pub async fn echo(socket: &mut Socket) -> Sample {
    let mut echoes = Vec::new();
    for _ in 0..FRAMES {
        sleep(Duration::from_millis(5)).await;
        let started = Instant::now();
        socket
            .send(Message::Binary("x".into()))
            .await
            .map_err(Miss::failed)?;
        frame(socket).await?;
        echoes.push(ms_since(started));
    }
    Series::from_samples(echoes)
        .median(Unit::Ms)
        .ok_or(Miss::NotOffered)
}
