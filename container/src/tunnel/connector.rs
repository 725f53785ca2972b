//! One `cloudflared`, from its start to its end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sandbox_protocol::time::to_text;
use sandbox_protocol::tunnel::NamedTunnel;
use sandbox_protocol::{Port, Tunnel};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::log::Log;
use super::{metrics, program};
use crate::process::children::Children;
use crate::process::directory::Directory;
use crate::process::spawn::{Child, Start};
use crate::process::tree::{COOKIE, Tree};
use crate::quota::Permit;
use crate::threads::PROCESSES;

/// How long a tunnel may take to open. Usually it is a few seconds; where a network lets no QUIC
/// through, `cloudflared` first finds that out.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// How often `cloudflared` is asked meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long `cloudflared` has between SIGTERM and SIGKILL, to finish its responses.
const GRACE: Duration = Duration::from_secs(2);

/// How long to wait for the rest of the output of one that ended.
const LOG_TIMEOUT: Duration = Duration::from_millis(200);

/// The state of a tunnel. It only moves forward in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// `cloudflared` runs and is not connected yet.
    Starting,
    /// Visitors can use it.
    Open {
        /// The tunnel as clients see it.
        tunnel: Tunnel,
        /// The address of `cloudflared`'s metrics.
        metrics: SocketAddr,
    },
    /// `cloudflared` has ended; the reason.
    Closed(String),
}

impl Phase {
    /// Whether the tunnel is gone.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

/// A tunnel to open.
#[derive(Debug)]
pub struct Plan<'a> {
    /// `cloudflared`.
    pub file: PathBuf,
    /// The environment of the image.
    pub base_env: &'a BTreeMap<OsString, OsString>,
    /// The mark of its processes.
    pub cookie: String,
    /// The port that it leads to.
    pub port: Port,
    /// The tunnel at Cloudflare; `None` opens a quick one.
    pub named: Option<NamedTunnel>,
}

impl Plan<'_> {
    /// Starts `cloudflared` and the task that owns it, with a permit from the quota of tunnels.
    /// Returns the tunnel's phase, and a sender that closes the tunnel when dropped.
    pub fn start(
        self,
        children: Arc<Children>,
        permit: Permit,
    ) -> io::Result<(watch::Receiver<Phase>, oneshot::Sender<()>)> {
        let token = self.named.as_ref().map(|named| named.token.as_str());
        let mut env = program::env(self.base_env, token);
        env.insert(COOKIE.into(), self.cookie.clone().into());
        let quick = self.named.is_none().then_some(self.port);
        let program = program::command(self.file, quick);
        let cwd = Directory::existing("/".into());
        let started = Start::helper(&program, &cwd, &env).spawn_with_pipes(false, children)?;
        let (phase, phases) = watch::channel(Phase::Starting);
        let (close, closed) = oneshot::channel();
        let connector = Connector {
            tree: Tree::for_command(started.child.pid(), &self.cookie, None),
            child: started.child,
            outputs: [
                Some(pipe::Receiver::from_owned_fd(started.stdout)?),
                Some(pipe::Receiver::from_owned_fd(started.stderr)?),
            ],
            log: Log::default(),
            port: self.port,
            named: self.named,
            phase,
            permit,
        };
        tokio::spawn(connector.run(closed));
        Ok((phases, close))
    }
}

/// The task that owns a `cloudflared`.
#[derive(Debug)]
struct Connector {
    child: Child,
    tree: Tree,
    /// Its output; `None` at the end.
    outputs: [Option<pipe::Receiver>; 2],
    log: Log,
    port: Port,
    named: Option<NamedTunnel>,
    phase: watch::Sender<Phase>,
    permit: Permit,
}

/// Why a tunnel is closed.
enum End {
    Closed,
    TooLate,
    Ended,
}

impl Connector {
    async fn run(mut self, closed: oneshot::Receiver<()>) {
        let end = self.until_end(closed).await;
        let tree = self.tree.clone();
        // It fails only when it panics.
        let _ = PROCESSES.run(move || tree.end(GRACE)).await;
        self.child.ended().await;
        let _ = timeout(LOG_TIMEOUT, async {
            while self.outputs.iter().any(Option::is_some) {
                read(&mut self.outputs, &mut self.log).await;
            }
        })
        .await;
        let was_open = matches!(*self.phase.borrow(), Phase::Open { .. });
        let token = self.named.as_ref().map(|named| named.token.as_str());
        let output = self.log.last_lines(token);
        let status = self.child.reap().map_or("status lost".to_owned(), ended);
        let reason = match end {
            End::Closed => "it was closed".to_owned(),
            End::TooLate => format!(
                "cloudflared was not connected after {} s: {output}",
                OPEN_TIMEOUT.as_secs()
            ),
            End::Ended => format!("cloudflared ended ({status}): {output}"),
        };
        let port = self.port.get();
        match end {
            End::Closed => tracing::info!(port, "tunnel closed"),
            _ if was_open => tracing::warn!(port, why = reason, "tunnel lost"),
            _ => tracing::warn!(port, why = reason, "tunnel not opened"),
        }
        drop(self.permit);
        self.phase.send_replace(Phase::Closed(reason));
    }

    async fn until_end(&mut self, mut closed: oneshot::Receiver<()>) -> End {
        let deadline = Instant::now() + OPEN_TIMEOUT;
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_open = false;
        loop {
            tokio::select! {
                biased;
                _ = &mut closed => return End::Closed,
                () = self.child.ended() => return End::Ended,
                () = read(&mut self.outputs, &mut self.log) => {}
                _ = ticks.tick(), if !is_open => {
                    if let Some(phase) = self.poll().await {
                        self.phase.send_replace(phase);
                        is_open = true;
                        tracing::info!(port = self.port.get(), "tunnel open");
                    } else if Instant::now() >= deadline {
                        return End::TooLate;
                    }
                }
            }
        }
    }

    /// The phase of the open tunnel; `None` while it is not open.
    async fn poll(&self) -> Option<Phase> {
        let metrics = self.log.metrics?;
        let (id, hostname, name) = match &self.named {
            Some(named) => (named.id.clone(), named.hostname.clone(), Some(named.name.clone())),
            None => (quick_id()?, self.log.host.clone()?, None),
        };
        metrics::is_ready(metrics).await.then(|| Phase::Open {
            tunnel: Tunnel {
                listening: None,
                id,
                port: self.port,
                url: format!("https://{hostname}"),
                hostname,
                created_at: to_text(SystemTime::now()),
                name,
            },
            metrics,
        })
    }
}

/// Reads the next output of `cloudflared`. Never returns after the end of the output. May be
/// dropped at any time.
async fn read(outputs: &mut [Option<pipe::Receiver>; 2], log: &mut Log) {
    let [stdout, stderr] = outputs;
    let bytes = tokio::select! {
        bytes = next(stdout) => bytes,
        bytes = next(stderr) => bytes,
    };
    log.push(&bytes);
}

async fn next(output: &mut Option<pipe::Receiver>) -> Vec<u8> {
    let Some(pipe) = output else {
        return pending().await;
    };
    let mut bytes = Vec::with_capacity(4096);
    if !pipe.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        *output = None;
    }
    bytes
}

/// An id that is very likely unique among quick tunnels.
fn quick_id() -> Option<String> {
    let random = crate::random::random_id().ok()?;
    Some(format!("quick-{}", random.get(..8)?))
}

fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("signal {signal}"),
        None => format!("exit code {}", status.code().unwrap_or_default()),
    }
}
