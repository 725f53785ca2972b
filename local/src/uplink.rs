//! The task that keeps a boot connected to the outside. It owns the slirp4netns of the boot, and starts
//! another when one dies: open connections are lost, later ones work.

use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::process::Identity;
use crate::slirp::{Running, Slirp};

/// The pause before a slirp4netns that has died is replaced.
const RESTART_BACKOFF: Duration = Duration::from_millis(200);

/// Gets the result of the first slirp4netns of a boot.
type Ready = oneshot::Sender<io::Result<()>>;

/// The task that keeps a boot connected. It ends when this is dropped.
#[derive(Debug)]
pub struct Uplink {
    ready: Option<oneshot::Receiver<io::Result<()>>>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Uplink {
    /// Connects the network namespace of the process `pid`.
    pub fn new(slirp: Slirp, pid: i32) -> Self {
        let (ready_sender, ready) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        Self {
            ready: Some(ready),
            end: Some(end),
            task: tokio::spawn(keep(slirp, pid, ready_sender, ended)),
        }
    }

    /// A future that waits until the device is up for the first time. Can be called once.
    pub fn ready(&mut self) -> impl Future<Output = io::Result<()>> + use<> {
        let ready = self.ready.take();
        async move {
            match ready {
                Some(ready) => ready.await.map_err(io::Error::other).flatten(),
                None => Ok(()),
            }
        }
    }

    /// Kills slirp4netns without waiting for its end.
    pub fn begin_end(&mut self) {
        self.end.take();
    }

    /// Kills slirp4netns. No process of it is left then.
    pub async fn end(mut self) {
        self.begin_end();
        if let Err(e) = self.task.await {
            tracing::error!("the network of a sandbox ended badly: {e}");
        }
    }
}

/// Keeps the network namespace of the process `pid` connected until `end` is sent or dropped, or the
/// process has ended. Ends with the error for `ready` if it cannot be connected at all.
async fn keep(slirp: Slirp, pid: i32, ready: Ready, mut end: oneshot::Receiver<()>) {
    let mut ready = Some(ready);
    let identity = Identity::from_pid(pid);
    loop {
        let started = tokio::select! {
            started = slirp.start(pid) => started,
            _ = &mut end => return,
        };
        let error = match started {
            Ok(mut running) => tokio::select! {
                error = run(&mut running, &mut ready) => error,
                _ = &mut end => return running.kill().await,
            },
            Err(e) => e,
        };
        if let Some(ready) = ready.take() {
            let _ = ready.send(Err(error));
            return;
        }
        tracing::warn!("a sandbox lost its connections, and gets a new slirp4netns: {error}");
        tokio::select! {
            () = sleep(RESTART_BACKOFF) => {}
            _ = &mut end => return,
        }
        // Its id may belong to another process by now, with another network.
        if identity.as_ref().ok().and_then(Identity::open).is_none() {
            return;
        }
    }
}

/// Tells `ready` once the device is up, and returns how slirp4netns ended.
async fn run(running: &mut Running, ready: &mut Option<Ready>) -> io::Error {
    if let Err(e) = running.until_ready().await {
        return e;
    }
    if let Some(ready) = ready.take() {
        // Nobody waits any more when the boot is ended already.
        let _ = ready.send(Ok(()));
    }
    running.ended().await
}
