//! The task that owns a boot: it waits for the first answer, carries out wishes, and sees the end.

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use sandbox_protocol::{local, sandboxd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::boot::{Phase, Wish};
use crate::launch::Launched;
use crate::process::{Handle, Identity};

/// How long `sandboxd` may take to answer after its start.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long `sandboxd` may take to end after SIGTERM, before it gets SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long a `sandboxd` that dropped the first connection may take to end by itself and say why.
const CRASH_GRACE: Duration = Duration::from_secs(1);

/// What the task that owns a boot works with.
#[derive(Debug)]
pub struct Supervision {
    id: String,
    phase: watch::Sender<Phase>,
    wish: watch::Receiver<Wish>,
}

impl Supervision {
    /// Supervises the boot `id`: publishes to `phase` and follows `wish`.
    pub fn new(id: String, phase: watch::Sender<Phase>, wish: watch::Receiver<Wish>) -> Self {
        Self { id, phase, wish }
    }

    /// The next change of the wish; never, when nobody is left to have one.
    pub async fn wish(&mut self) -> Wish {
        if self.wish.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        *self.wish.borrow_and_update()
    }

    /// Publishes that the boot is over. Nothing of it may be left.
    pub fn finish(self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Follows a launched sandbox until all its processes have ended, and gives the phase to finish with. `record` is
    /// told which process `sandboxd` is before it is waited for.
    pub async fn follow(
        &mut self,
        mut launched: Launched,
        record: impl FnOnce(&Identity) -> io::Result<()>,
    ) -> io::Result<Phase> {
        let process = match launched.sandboxd.and_then(|pid| Identity::of(pid).ok()) {
            Some(identity) => {
                record(&identity)?;
                identity.open()
            }
            None => None,
        };
        let (status, silence) = self.supervise(&mut launched, process.as_ref()).await?;
        if let Some(process) = process {
            process.ended().await?;
        }

        let words = words(status);
        let ran = matches!(*self.phase.borrow(), Phase::Running(_) | Phase::Stopping(_));
        if ran {
            return Ok(Phase::Ended(words));
        }
        let log = launched.log.await.unwrap_or_default();
        let why = [Some(words), silence.map(|e| e.to_string()), Some(log)];
        let why: Vec<_> = why
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty())
            .collect();
        Ok(Phase::Failed(why.join(": ")))
    }

    /// Until bubblewrap ends: its status, and why `sandboxd` did not answer, if it did not.
    async fn supervise(
        &mut self,
        launched: &mut Launched,
        process: Option<&Handle>,
    ) -> io::Result<(ExitStatus, Option<io::Error>)> {
        let ready = timeout(START_DEADLINE, answers(launched.address, launched.secret.clone()));
        tokio::pin!(ready);
        let mut starting = true;
        let mut silence = None;
        let mut kill_at = None;
        loop {
            tokio::select! {
                status = launched.bwrap.wait() => return Ok((status?, silence)),
                answer = &mut ready, if starting => {
                    starting = false;
                    match answer.map_err(io::Error::from).flatten() {
                        Ok(()) => {
                            self.phase.send_replace(Phase::Running(local::Boot {
                                boot_id: self.id.clone(),
                                address: launched.address.to_string(),
                            }));
                        }
                        Err(e) => {
                            silence = Some(e);
                            kill_at = Some(Instant::now() + CRASH_GRACE);
                        }
                    }
                }
                wish = self.wish() => {
                    self.phase.send_if_modified(stop_running);
                    kill_at = match (wish, process) {
                        (Wish::Stop, Some(process)) => {
                            process.signal(Signal::TERM);
                            Some(Instant::now() + STOP_GRACE)
                        }
                        _ => Some(Instant::now()),
                    };
                }
                () = sleep_until(kill_at) => {
                    kill_at = None;
                    match process {
                        // bubblewrap then ends by itself, and after all of the sandbox.
                        Some(process) => process.signal(Signal::KILL),
                        None => launched.bwrap.start_kill()?,
                    }
                }
            }
        }
    }
}

/// Waits for one answer of `sandboxd`, which is shown its secret. Its socket takes the connection before it does, so that nothing is polled.
async fn answers(address: SocketAddr, secret: String) -> io::Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: sandbox\r\n{}: {secret}\r\nConnection: close\r\n\r\n",
        sandboxd::HEALTH,
        sandboxd::SECRET_HEADER
    );
    connection.write_all(request.as_bytes()).await?;
    let mut status = [0; 12];
    connection.read_exact(&mut status).await?;
    if &status == b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "sandboxd answered {}",
            String::from_utf8_lossy(&status)
        )))
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

/// How bubblewrap ended, and with it the sandbox. bubblewrap says 128+n when signal n ended `sandboxd`, which has no
/// such exit status of its own.
fn words(status: ExitStatus) -> String {
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
    fn ends_in_words() {
        for (raw, expected) in [
            (0, "exit 0"),
            (1 << 8, "exit 1"),
            (137 << 8, "signal 9"),
            (15, "signal 15"),
        ] {
            assert_eq!(words(ExitStatus::from_raw(raw)), expected);
        }
    }
}
