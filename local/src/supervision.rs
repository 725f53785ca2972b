//! The task that owns a boot: it waits for the first response and the network, follows the desired
//! state, and waits for the end.

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use axum::http::{Request, StatusCode};
use rustix::process::Signal;
use sandbox_protocol::{local, sandboxd};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::launch::Launched;
use crate::phase::{DesiredState, Phase};
use crate::process::{Handle, Identity};
use crate::uplink::Uplink;

/// The time that `sandboxd` has to answer after its start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The time that `sandboxd` has to end after SIGTERM, before it gets SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The time that a `sandboxd` that dropped the first connection has to exit with a message, before
/// it gets SIGKILL.
const CRASH_GRACE: Duration = Duration::from_secs(1);

/// The state of the task that owns a boot.
#[derive(Debug)]
pub struct Supervision {
    id: String,
    phase: watch::Sender<Phase>,
    desired: watch::Receiver<DesiredState>,
}

impl Supervision {
    /// Supervises the boot `id`: publishes to `phase` and follows `desired`.
    pub fn new(id: String, phase: watch::Sender<Phase>, desired: watch::Receiver<DesiredState>) -> Self {
        Self { id, phase, desired }
    }

    /// Waits for the next change of the desired state; for ever when all senders are gone.
    pub async fn next_desired(&mut self) -> DesiredState {
        if self.desired.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        *self.desired.borrow_and_update()
    }

    /// Publishes that the boot has ended. No process of it may be left.
    pub fn finish(self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Follows a launched sandbox until all its processes have ended, and returns the phase to
    /// finish with. `record` is called with the identity of the process `sandboxd` before that.
    /// `s3_origin` is the origin at which the sandbox reaches the S3 proxy of its Sandbox object.
    pub async fn follow(
        &mut self,
        mut launched: Launched,
        s3_origin: Option<String>,
        record: impl FnOnce(&Identity) -> io::Result<()>,
    ) -> io::Result<Phase> {
        let process = match launched.sandboxd.and_then(|pid| Identity::from_pid(pid).ok()) {
            Some(identity) => {
                record(&identity)?;
                identity.open()
            }
            None => None,
        };
        let boot = local::Boot {
            boot_id: self.id.clone(),
            address: launched.address.to_string(),
            s3_origin,
        };
        let (status, start_error) = self.supervise(&mut launched, boot, process.as_ref()).await?;
        if let Some(process) = process {
            process.ended().await?;
        }
        // Only now: the last writes to a bucket need the network.
        if let Some(uplink) = launched.uplink.take() {
            uplink.end().await;
        }

        let description = describe(status);
        let ran = matches!(*self.phase.borrow(), Phase::Running(_) | Phase::Stopping(_));
        if ran {
            return Ok(Phase::Ended(description));
        }
        let log = launched.log.await.unwrap_or_default();
        let parts = [Some(description), start_error.map(|e| e.to_string()), Some(log)];
        let parts: Vec<_> = parts
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty())
            .collect();
        Ok(Phase::Failed(parts.join(": ")))
    }

    /// Runs until bubblewrap ends, and publishes `boot` once the sandbox is up. Returns the status of
    /// bubblewrap, and the error of a start that failed: `sandboxd` did not answer, or there is no
    /// network.
    async fn supervise(
        &mut self,
        launched: &mut Launched,
        boot: local::Boot,
        process: Option<&Handle>,
    ) -> io::Result<(ExitStatus, Option<io::Error>)> {
        let connected = launched.uplink.as_mut().map(Uplink::ready);
        let connected = async {
            match connected {
                Some(connected) => connected.await,
                None => Ok(()),
            }
        };
        let answers = probe(launched.address, launched.secret.clone());
        let ready = timeout(START_TIMEOUT, async {
            tokio::try_join!(answers, connected).map(drop)
        });
        tokio::pin!(ready);
        let mut starting = true;
        let mut start_error = None;
        let mut kill_at = None;
        loop {
            tokio::select! {
                status = launched.bwrap.wait() => return Ok((status?, start_error)),
                answer = &mut ready, if starting => {
                    starting = false;
                    match answer.map_err(io::Error::from).flatten() {
                        Ok(()) => {
                            self.phase.send_replace(Phase::Running(boot.clone()));
                        }
                        Err(e) => {
                            start_error = Some(e);
                            kill_at = Some(Instant::now() + CRASH_GRACE);
                        }
                    }
                }
                desired = self.next_desired() => {
                    self.phase.send_if_modified(stop_running);
                    kill_at = match (desired, process) {
                        (DesiredState::Stop, Some(process)) => {
                            process.signal(Signal::TERM);
                            Some(Instant::now() + STOP_GRACE)
                        }
                        _ => {
                            // Both take time to stop, so they stop at the same time.
                            if let Some(uplink) = &mut launched.uplink {
                                uplink.begin_end();
                            }
                            Some(Instant::now())
                        }
                    };
                }
                () = sleep_until(kill_at) => {
                    kill_at = None;
                    match process {
                        // bubblewrap exits after that, once the whole sandbox has ended.
                        Some(process) => process.signal(Signal::KILL),
                        None => launched.bwrap.start_kill()?,
                    }
                }
            }
        }
    }
}

/// Waits for one response of `sandboxd` to a request with its secret. The socket queues the
/// connection until `sandboxd` accepts it, so no polling is needed.
async fn probe(address: SocketAddr, secret: String) -> io::Result<()> {
    let request = Request::get(format!("http://{address}{}", sandboxd::HEALTH))
        .header(sandboxd::SECRET_HEADER, secret)
        .body(())
        .map_err(io::Error::other)?;
    match http1_client::send(request).await?.status() {
        StatusCode::OK => Ok(()),
        status => Err(io::Error::other(format!("sandboxd answered {status}"))),
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn stop_running(phase: &mut Phase) -> bool {
    let Phase::Running(boot) = phase else {
        return false;
    };
    *phase = Phase::Stopping(boot.clone());
    true
}

/// Describes the end of bubblewrap, and so of the sandbox. bubblewrap exits with 128+n when signal
/// n ended `sandboxd`, which has no such exit status of its own.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) if code > 128 => format!("signal {}", code - 128),
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_described() {
        for (raw, expected) in [
            (0, "exit 0"),
            (1 << 8, "exit 1"),
            (137 << 8, "signal 9"),
            (15, "signal 15"),
        ] {
            assert_eq!(describe(ExitStatus::from_raw(raw)), expected);
        }
    }
}
