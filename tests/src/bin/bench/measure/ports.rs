//! Requests to a server of the sandbox, beside the same bytes as a file.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::files::put;
use super::process::begin;
use crate::bench::Bench;
use crate::line::{Line, Unit};
use crate::lines::{PORT_1K, PORT_1K_ABOVE, PORT_256M, PORT_256M_SHARE};
use crate::series::{Miss, Sample};
use crate::side::{Side, accepted, count, send};
use crate::time::mb_per_s;
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 4] = [&PORT_1K, &PORT_1K_ABOVE, &PORT_256M, &PORT_256M_SHARE];

/// Answers `GET /N` with N bytes. It prints its port.
const SERVER: &str = r#"
import asyncio
async def serve(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.split(b" ", 2)[1].rsplit(b"/", 1)[1])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        block = bytes(min(size, 1 << 20))
        while size:
            writer.write(block[:size])
            await writer.drain()
            size -= min(size, len(block))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

/// Measures requests to a port.
pub async fn measure(bench: &mut Bench) {
    if !bench.wants(&LINES) {
        return;
    }
    let mut ports = HashMap::new();
    for side in &bench.sides {
        let server = json!({ "argv": ["python3", "-c", SERVER] });
        ports.insert(side.sandbox.clone(), start(side, &server).await);
    }
    let from_port = async |side: &Side, size: usize| match ports.get(&side.sandbox) {
        Some(Ok(port)) => time(side, &format!("/port/{port}/{size}"), size).await,
        Some(Err(miss)) => Err(miss.clone()),
        None => Err(Miss::NotOffered),
    };
    let from_file = async |side: &Side, size: usize| time(side, "/file/workspace/bench", size).await;
    for (size, rounds, line, beside) in [
        (1 << 10, 300, &PORT_1K, &PORT_1K_ABOVE),
        (256 << 20, 5, &PORT_256M, &PORT_256M_SHARE),
    ] {
        if !bench.wants(&[line, beside]) {
            continue;
        }
        for side in &bench.sides {
            // A failure is one of the reads, too.
            let _ = put(side, size).await;
        }
        let is_rate = line.unit == Unit::MbPerS;
        let sample = |time: Result<Duration, Miss>| -> Sample {
            time.map(|time| match is_rate {
                true => mb_per_s(size, time),
                false => time.as_secs_f64() * 1000.0,
            })
        };
        let [port, file] = in_turns(&bench.sides, bench.rounds(rounds), async |side: &Side| {
            [
                sample(from_port(side, size).await),
                sample(from_file(side, size).await),
            ]
        })
        .await;
        bench.add(line, port.clone());
        bench.add_beside(beside, (&port, &file), |port, file| {
            if is_rate {
                port.beside(file, Unit::MbPerS, |port, file| port / file * 100.0)
            } else {
                port.beside(file, Unit::Ms, |port, file| port - file)
            }
        });
    }
}

/// Starts a server that prints its port; the port.
pub async fn start(side: &Side, process: &Value) -> Result<u16, Miss> {
    let id = begin(side, process).await?;
    let wait = json!({ "for": "log", "pattern": r"port \d+\n", "timeout_ms": 30_000 });
    let path = format!("/process/{id}/wait");
    let request = side.request(&side.sandbox, Method::POST, &path).json(&wait);
    let printed: Value = accepted(send(request).await?)
        .await?
        .json()
        .await
        .map_err(Miss::failed)?;
    let port = printed["match"]
        .as_str()
        .and_then(|line| line.split_whitespace().nth(1));
    match port.and_then(|port| port.parse().ok()) {
        Some(port) => Ok(port),
        None => Err(Miss::Failed(format!("no port in {printed}"))),
    }
}

/// The time until a body of this size is read.
async fn time(side: &Side, path: &str, size: usize) -> Result<Duration, Miss> {
    let started = Instant::now();
    let response = accepted(send(side.request(&side.sandbox, Method::GET, path)).await?).await?;
    let got = count(response).await?;
    if got == size {
        Ok(started.elapsed())
    } else {
        Err(Miss::Failed(format!("{got} of {size} bytes")))
    }
}
