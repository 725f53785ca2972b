//! The machine's own limits: no program on it can be faster.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::bench::Bench;
use crate::lines::{FORK_EXEC, LOOPBACK, LOOPBACK_BODY, PIPE, SANDBOXD_32};
use crate::series::{Miss, Sample, Series};
use crate::side::time_of;
use crate::time::mb_per_s;
use crate::turns::{Rounds, repeated};

use super::host_pty;

const BODY: usize = 128 << 20;

/// Measures all of them; gives how many times a second two threads can fork and execute.
pub async fn measure(bench: &mut Bench) -> Option<f64> {
    let mut rate = None;
    if bench.wants(&[&FORK_EXEC, &SANDBOXD_32]) {
        let series = repeated(bench.rounds(10), || fork_exec(1_000).map_err(Miss::failed));
        rate = series.median(FORK_EXEC.unit);
        bench.add(&FORK_EXEC, vec![series]);
    }
    if bench.wants(&[&PIPE]) {
        let series = repeated(bench.rounds(7), || pipe(1 << 30).map_err(Miss::failed));
        bench.add(&PIPE, vec![series]);
    }
    if bench.wants(&[&LOOPBACK, &LOOPBACK_BODY])
        && let Ok(server) = Loopback::start().await
    {
        let small = http(&server, 0, bench.rounds(300)).await;
        bench.add(&LOOPBACK, vec![small]);
        let large = http(&server, BODY, bench.rounds(7)).await;
        let rates = large.beside(&Series::from_samples(vec![0.0]), LOOPBACK.unit, |ms, _| {
            mb_per_s(BODY, Duration::from_secs_f64(ms / 1e3))
        });
        bench.add(&LOOPBACK_BODY, vec![rates]);
    }
    host_pty::measure(bench);
    rate
}

/// How many times a second two threads fork, execute `true` and wait for it.
fn fork_exec(total: usize) -> io::Result<f64> {
    let taken = AtomicUsize::new(0);
    let work = || -> io::Result<()> {
        while taken.fetch_add(1, Ordering::Relaxed) < total {
            // By its path, as a search would be part of it.
            let mut command = Command::new("/bin/true");
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
        }
        Ok(())
    };
    let started = Instant::now();
    thread::scope(|scope| {
        let other = scope.spawn(work);
        work()?;
        other.join().unwrap_or(Err(io::ErrorKind::Other.into()))
    })?;
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

/// MB/s through a pipe, from one thread to another.
fn pipe(bytes: usize) -> io::Result<f64> {
    let (mut reader, mut writer) = io::pipe()?;
    let started = Instant::now();
    let sending = thread::spawn(move || {
        let block = vec![0; 64 << 10];
        for _ in 0..bytes / block.len() {
            writer.write_all(&block)?;
        }
        io::Result::Ok(())
    });
    let mut block = vec![0; 64 << 10];
    while reader.read(&mut block)? > 0 {}
    sending.join().unwrap_or(Err(io::ErrorKind::Other.into()))?;
    Ok(mb_per_s(bytes, started.elapsed()))
}

async fn http(server: &Loopback, bytes: usize, rounds: Rounds) -> Series {
    let mut series = Series::default();
    for round in 0..rounds.warm_up + rounds.counted {
        let sample = server.get(bytes).await;
        if round < rounds.warm_up {
            series.warm_up(sample)
        } else {
            series.add(sample)
        }
    }
    series
}

/// The least that an HTTP server can do: it answers every request with as many bytes as its path
/// says.
pub struct Loopback {
    url: String,
    client: Client,
}

impl Loopback {
    /// Serves until the process ends.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        let client = Client::builder().no_proxy().build().map_err(io::Error::other)?;
        Ok(Self { url, client })
    }

    /// Milliseconds of one answer of `bytes` bytes.
    pub async fn get(&self, bytes: usize) -> Sample {
        time_of(self.client.get(format!("{}/{bytes}", self.url))).await
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut request, block) = (Vec::new(), vec![0; 256 << 10]);
    while stream.read_buf(&mut request).await? > 0 {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let path = request.split(|b| *b == b' ').nth(1).unwrap_or_default();
        let asked: usize = String::from_utf8_lossy(path)
            .trim_start_matches('/')
            .parse()
            .unwrap_or(0);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {asked}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut left = asked;
        while left > 0 {
            let now = left.min(block.len());
            stream.write_all(&block[..now]).await?;
            left -= now;
        }
        request.clear();
    }
    Ok(())
}
