//! WebSockets of a server of the sandbox, and TCP connections to it.

use std::time::Instant;

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::ports::start;
use super::websocket::{echo, frame, socket};
use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{PORT_ECHO, TCP_RATE};
use crate::series::{Miss, Sample};
use crate::side::Side;
use crate::time::mb_per_s;
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 2] = [&PORT_ECHO, &TCP_RATE];

/// The server of the tests, which has a WebSocket that echoes.
const ECHO: &str = include_str!("../../../../api/port_server.py");

/// Sends zeros to each client, as fast as it takes them. It prints its port.
const ZEROS: &str = r#"
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
print("port", server.getsockname()[1], flush=True)
block = bytes(1 << 18)
def send(connection):
    try:
        while True:
            connection.sendall(block)
    except OSError:
        connection.close()
while True:
    threading.Thread(target=send, args=(server.accept()[0],), daemon=True).start()
"#;

/// The bytes that are read of one connection.
const BYTES: usize = 256 << 20;

/// Measures WebSockets and TCP connections.
pub async fn measure(bench: &mut Bench) {
    if bench.wants(&[&PORT_ECHO]) {
        let [echo] = in_turns(&bench.sides, bench.rounds(20), async |side: &Side| {
            [websocket(side).await]
        })
        .await;
        bench.add(&PORT_ECHO, echo);
    }
    if bench.wants(&[&TCP_RATE]) {
        let [rate] = in_turns(&bench.sides, bench.rounds(5), async |side: &Side| {
            [tcp(side).await]
        })
        .await;
        bench.add(&TCP_RATE, rate);
    }
}

async fn websocket(side: &Side) -> Sample {
    let port = start(side, &json!({ "argv": ["python3", "-c", ECHO, "127.0.0.1"] })).await?;
    let mut socket = socket(side, &format!("/port/{port}/socket")).await?;
    let echo = echo(&mut socket).await;
    let _ = socket.close(None).await;
    echo
}

async fn tcp(side: &Side) -> Sample {
    let port = start(side, &json!({ "argv": ["python3", "-c", ZEROS] })).await?;
    let mut socket = socket(side, &format!("/tcp/{port}")).await?;
    let started = Instant::now();
    let mut read = 0;
    while read < BYTES {
        read += frame(&mut socket).await?;
    }
    let took = started.elapsed();
    socket.send(Message::Close(None)).await.map_err(Miss::failed)?;
    Ok(mb_per_s(read, took))
}
