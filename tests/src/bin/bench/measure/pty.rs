//! Terminals, by WebSocket.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{PTY_CAT, PTY_ECHO, PTY_OPEN, PTY_READY};
use crate::series::{Miss, Sample, Series};
use crate::side::{Side, is_unknown};
use crate::time::{mb_per_s, ms_since};
use crate::turns::{Rounds, in_turns, order};

/// The lines of this module.
pub const LINES: [&Line; 4] = [&PTY_OPEN, &PTY_READY, &PTY_ECHO, &PTY_CAT];

/// How many bytes the file has that `cat` writes to a terminal.
pub const CAT_BYTES: usize = 20 << 20;

/// Makes that file where `$1` says. It is one line: the kernel takes its own time for the end of
/// each.
pub const CAT_FILE_SCRIPT: &str = r#"head -c 20971520 /dev/zero | tr '\0' a >"$1""#;

/// How long a terminal may be silent when output is due.
const SILENCE: Duration = Duration::from_secs(10);

/// A terminal that is ready.
struct Terminal {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Milliseconds from the request to the upgrade, and from the upgrade to `ready`.
    took: (f64, f64),
}

/// Measures opening, keys and output.
pub async fn measure(bench: &mut Bench) {
    if bench.wants(&[&PTY_OPEN, &PTY_READY]) {
        let [open, ready] =
            in_turns(
                &bench.sides,
                bench.rounds(100),
                async |side: &Side| match Terminal::open(side, "&mode=shell").await {
                    Ok(terminal) => {
                        let (upgrade, ready) = terminal.took;
                        terminal.close().await;
                        [Ok(upgrade + ready), Ok(ready)]
                    }
                    Err(miss) => [Err(miss.clone()), Err(miss)],
                },
            )
            .await;
        bench.add(&PTY_OPEN, open);
        bench.add(&PTY_READY, ready);
    }
    if bench.wants(&[&PTY_ECHO]) {
        let series = keys(&bench.sides, bench.rounds(300)).await;
        bench.add(&PTY_ECHO, series);
    }
    if bench.wants(&[&PTY_CAT]) {
        for side in &bench.sides {
            let script = ["sh", "-c", CAT_FILE_SCRIPT, "sh", "/workspace/lines"];
            // Where it fails, so does each `cat`.
            let _ = side.exec(&side.sandbox).run(&script).await;
        }
        let [cat] = in_turns(&bench.sides, bench.rounds(7), async |side: &Side| {
            [cat(side).await]
        })
        .await;
        bench.add(&PTY_CAT, cat);
    }
}

/// Types into one terminal a side, in turns.
async fn keys(sides: &[Side], rounds: Rounds) -> Vec<Series> {
    let (mut terminals, mut series) = (Vec::new(), vec![Series::default(); sides.len()]);
    for side in sides {
        let terminal = Terminal::open(side, "&mode=shell").await;
        terminals.push(match terminal {
            Ok(mut terminal) => terminal.wait_for_prompt().await.map(|()| terminal),
            Err(miss) => Err(miss),
        });
    }
    for round in 0..rounds.warm_up + rounds.counted {
        for index in order(sides.len(), round) {
            let sample = match &mut terminals[index] {
                Ok(terminal) => terminal.key().await,
                Err(miss) => Err(miss.clone()),
            };
            if series[index].gave_up() {
                continue;
            }
            if round < rounds.warm_up {
                series[index].warm_up(sample)
            } else {
                series[index].add(sample)
            }
        }
    }
    for terminal in terminals.into_iter().flatten() {
        terminal.close().await;
    }
    series
}

/// MB/s of output of a command that is sent as a program sends it: as one line that ends in LF.
async fn cat(side: &Side) -> Sample {
    let mut terminal = Terminal::open(side, "").await?;
    let started = Instant::now();
    terminal.send(b"cat /workspace/lines\n").await?;
    let mut got = 0;
    while got < CAT_BYTES {
        got += terminal.output().await?.len();
    }
    let took = started.elapsed();
    terminal.close().await;
    Ok(mb_per_s(CAT_BYTES, took))
}

impl Terminal {
    async fn open(side: &Side, query: &str) -> Result<Self, Miss> {
        let bridge = &side.client.bridge;
        let url = bridge.url.replacen("http", "ws", 1);
        let url = format!("{url}/v1/sandbox/{}/pty?cols=80&rows=24{query}", side.sandbox);
        let mut request = url.into_client_request().map_err(Miss::failed)?;
        let key = HeaderValue::try_from(format!("Bearer {}", bridge.key)).map_err(Miss::failed)?;
        request.headers_mut().insert("authorization", key);
        let started = Instant::now();
        let (socket, _) = connect_async_with_config(request, None, true)
            .await
            .map_err(|e| match e {
                Error::Http(response) if is_unknown(response.status()) => Miss::NotOffered,
                other => Miss::failed(other),
            })?;
        let upgrade = ms_since(started);
        let mut terminal = Self {
            socket,
            took: (upgrade, 0.0),
        };
        loop {
            if let Message::Text(text) = terminal.frame().await? {
                let told: Value = serde_json::from_str(&text).map_err(Miss::failed)?;
                if told["type"] == "ready" {
                    break;
                }
                return Err(Miss::Failed(format!("{told} before ready")));
            }
        }
        terminal.took.1 = ms_since(started) - upgrade;
        Ok(terminal)
    }

    async fn frame(&mut self) -> Result<Message, Miss> {
        match timeout(SILENCE, self.socket.next()).await {
            Ok(Some(frame)) => frame.map_err(Miss::failed),
            Ok(None) => Err(Miss::Failed("the terminal ended".into())),
            Err(_) => Err(Miss::Failed(format!("silent for {} s", SILENCE.as_secs()))),
        }
    }

    /// The next output. Anything but output is the end.
    async fn output(&mut self) -> Result<Bytes, Miss> {
        loop {
            match self.frame().await? {
                Message::Binary(bytes) => return Ok(bytes),
                Message::Ping(_) | Message::Pong(_) => {}
                other => return Err(Miss::Failed(format!("{other} in place of output"))),
            }
        }
    }

    async fn send(&mut self, bytes: &'static [u8]) -> Result<(), Miss> {
        let message = Message::Binary(Bytes::from_static(bytes));
        self.socket.send(message).await.map_err(Miss::failed)
    }

    /// Waits until the prompt is there and nothing follows it.
    async fn wait_for_prompt(&mut self) -> Result<(), Miss> {
        self.output().await?;
        while let Ok(more) = timeout(Duration::from_millis(500), self.output()).await {
            more?;
        }
        Ok(())
    }

    /// Milliseconds until a key is echoed. It is taken back after that, so that the line stays
    /// short.
    async fn key(&mut self) -> Sample {
        let started = Instant::now();
        self.send(b"x").await?;
        while !self.output().await?.contains(&b'x') {}
        let took = ms_since(started);
        self.send(b"\x7f").await?;
        while !self.output().await?.contains(&b'\x08') {}
        Ok(took)
    }

    async fn close(mut self) {
        // The bridge may have closed before us.
        let _ = self.socket.close(None).await;
    }
}
