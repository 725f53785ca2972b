//! Mounting and unmounting, step by step.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::process::{Pid, getgid, getuid};
use sandbox_protocol::mount::{Credentials, MountPath, Remote, Source};
use sandbox_protocol::{Invalid, Limits, MountRequest};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::daemon::Daemon;
use super::keeper::Keeper;
use super::point::{Content, Point};
use super::probe;
use super::registry::{Mounted, Registry};
use super::s3fs::{self, Order};
use super::stage::Stage;
use crate::Error;
use crate::pid1::Children;
use crate::process::refusal::reason;
use crate::quota::{Buffers, Quota};

/// For so long a bucket may take to answer. s3fs itself gives up an endpoint that refuses connections after 20 s.
const ANSWER: Duration = Duration::from_secs(30);

/// For so long s3fs may take to say why the bucket does not answer.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// For so long a mount may be busy that is unmounted: a file that was just closed is, for a moment.
const BUSY: Duration = Duration::from_secs(2);

/// The pause between two tries to unmount.
const PAUSE: Duration = Duration::from_millis(50);

/// For so long the kernel may take to unmount. s3fs is killed then.
const DETACH: Duration = Duration::from_secs(10);

/// For so long s3fs may take to end once nothing of it is mounted.
const END: Duration = Duration::from_secs(5);

/// The mounts of a sandbox.
#[derive(Debug)]
pub struct Mounts {
    registry: Registry,
    room: Quota,
    keeper: Keeper,
    children: Arc<Children>,
    /// Whom the files of a mount belong to.
    owner: (Uid, Gid),
    /// Where programs are looked for.
    path: Option<OsString>,
    /// Where what asks for mounts takes room.
    pub(super) buffers: Buffers,
}

impl Mounts {
    /// No mounts yet. Their files will belong to `owner`, or to the server's own user; s3fs is looked for in `path`, a
    /// list like that of the variable `PATH`, and started by `keeper`. There are as many
    /// at a time as `limits` say. What asks for mounts takes room in `buffers`.
    pub fn new(
        owner: Option<(Uid, Gid)>,
        path: Option<OsString>,
        keeper: Keeper,
        children: Arc<Children>,
        limits: &Limits,
        buffers: Buffers,
    ) -> Self {
        Self {
            registry: Registry::default(),
            room: Quota::new("mounted buckets", limits.max_mounts),
            keeper,
            children,
            owner: owner.unwrap_or_else(|| (getuid(), getgid())),
            path,
            buffers,
        }
    }

    /// Mounts a bucket, and returns once it answers at its path. Nothing is left when it does not.
    ///
    /// Errors: 400 when the request lacks the endpoint or the credentials, 501 when the object that is to serve it cannot be
    /// reached, 503 when as many are mounted as may be, 502 with the reason for everything else.
    pub async fn mount(&self, request: &MountRequest) -> Result<(), Error> {
        let remote = complete(request)?;
        let path = &request.mount_path;
        let (held, dead) = self.registry.hold_for_mount(path).map_err(Error::Mount)?;
        let permit = match &dead {
            Some(dead) => Arc::clone(&dead.permit),
            None => Arc::new(self.room.take()?),
        };
        if let Some(dead) = dead {
            // Its s3fs is gone: there is nothing that could be busy.
            let _ = detach(&dead).await;
            end(dead, END).await;
        }
        if remote.credential_proxy {
            probe::reach(remote).await?;
        }
        let content = if s3fs::may_hide(&request.s3fs_options) {
            Content::Anything
        } else {
            Content::Nothing
        };
        let place = path.clone();
        let point = Arc::new(blocking(move || Point::prepare(&place, content)).await?);
        let mounted = self.mount_on(&point, request, remote).await;
        match mounted {
            Ok(daemon) => {
                tracing::info!(%path, "mounted a bucket");
                if let Some(late) = held.keep(Mounted {
                    point,
                    daemon,
                    permit,
                }) {
                    end_all(vec![late], END).await;
                }
                Ok(())
            }
            Err(words) => {
                tracing::info!(%path, "cannot mount a bucket: {words}");
                remove(point).await;
                Err(Error::Mount(words))
            }
        }
    }

    /// Mounts a bucket where nobody sees it and, once it answers, on `point`. The error is what the client is told.
    async fn mount_on(
        &self,
        point: &Arc<Point>,
        request: &MountRequest,
        remote: &Remote,
    ) -> Result<Daemon, String> {
        let credentials = remote.credentials.clone().filter(|_| !request.is_public());
        let made = {
            let credentials = credentials.clone();
            spawn_blocking(move || Stage::make(credentials.as_ref())).await
        };
        let stage = made
            .unwrap_or_else(|e| Err(io::Error::other(e)))
            .map_err(|e| format!("a directory for the mount cannot be made: {}", reason(&e)))?;
        let result = self
            .mount_from(&stage, point, request, remote, credentials.as_ref())
            .await;
        // It blocks. It fails only when the runtime stops.
        let _ = spawn_blocking(move || drop(stage)).await;
        result
    }

    async fn mount_from(
        &self,
        stage: &Stage,
        point: &Arc<Point>,
        request: &MountRequest,
        remote: &Remote,
        credentials: Option<&Credentials>,
    ) -> Result<Daemon, String> {
        let arguments = Order {
            request,
            remote,
            key_file: stage.key().as_deref(),
            target: &stage.bucket(),
            owner: self.owner,
        }
        .arguments();
        let (path, directory) = (self.path.clone(), stage.directory().to_owned());
        let children = Arc::clone(&self.children);
        let start = move || Daemon::start(&arguments, path.as_deref(), &directory, children);
        let daemon = self.keeper.run(start).await.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => "s3fs is not installed in the sandbox".to_owned(),
            _ => format!("s3fs: {}", reason(&e)),
        })?;
        let attached = async {
            match timeout(ANSWER, stage.answers(&daemon)).await {
                Ok(answered) => answered?,
                Err(_) => return Err(format!("the bucket did not answer within {} s", ANSWER.as_secs())),
            }
            let (point, bucket) = (Arc::clone(point), stage.bucket());
            let attached = spawn_blocking(move || point.attach(&bucket)).await;
            attached
                .unwrap_or_else(|e| Err(io::Error::other(e)))
                .map_err(|e| reason(&e))
        };
        let Err(words) = attached.await else {
            return Ok(daemon);
        };
        // It usually ends by itself, and has said why.
        let _ = timeout(LAST_WORDS, daemon.ended()).await;
        let said = s3fs::words(&daemon.said().await, credentials);
        daemon.end(Duration::ZERO).await;
        Err(said.map_or(words, |said| format!("s3fs: {said}")))
    }

    /// Unmounts what is mounted at `path`, and removes the directories that were made for it as far as they are empty.
    ///
    /// Errors: 502 when nothing is mounted there, or when it is in use; then it stays mounted.
    pub async fn unmount(&self, path: &MountPath) -> Result<(), Error> {
        let (held, mounted) = self.registry.hold_for_unmount(path).map_err(Error::Unmount)?;
        match detach(&mounted).await {
            Ok(()) => {
                end(mounted, END).await;
                tracing::info!(%path, "unmounted a bucket");
                Ok(())
            }
            Err(words) => {
                if let Some(late) = held.keep(mounted) {
                    end_all(vec![late], END).await;
                }
                Err(Error::Unmount(format!("{path}: {words}")))
            }
        }
    }

    /// The processes that must not end before commands have.
    pub fn processes(&self) -> Vec<Pid> {
        self.registry.processes()
    }

    /// Unmounts everything for good: there are no mounts after this.
    pub async fn shut_down(&self, patience: Duration) {
        end_all(self.registry.close(), patience).await;
    }
}

/// What is mounted, once the request says all that is needed.
fn complete(request: &MountRequest) -> Result<&Remote, Error> {
    let remote = match &request.source {
        Source::Remote(remote) => remote,
        Source::Binding(_) => {
            return Err(Error::NotSupported(
                "a mount needs an endpoint and credentials in the sandbox".into(),
            ));
        }
    };
    if remote.endpoint.is_none() {
        return Err(Invalid::request("options.endpoint is missing").into());
    }
    if remote.credentials.is_none() && !request.is_public() {
        return Err(Invalid::request("options.credentials are missing").into());
    }
    Ok(remote)
}

/// Takes a mount off its directory. The error says why it cannot be.
async fn detach(mounted: &Mounted) -> Result<(), String> {
    let deadline = Instant::now() + BUSY;
    while !mounted.daemon.has_ended() {
        let point = Arc::clone(&mounted.point);
        let Ok(detached) = timeout(DETACH, spawn_blocking(move || point.detach())).await else {
            // s3fs does not answer the kernel.
            mounted.daemon.kill();
            mounted.daemon.ended().await;
            break;
        };
        match detached.unwrap_or(Err(Errno::IO)) {
            Ok(()) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < deadline => sleep(PAUSE).await,
            Err(Errno::BUSY) => {
                return Err("it is busy: a process works in it, or has a file of it open".into());
            }
            // Nothing is mounted there: somebody in the sandbox unmounted it.
            Err(Errno::INVAL) => return Ok(()),
            Err(e) => return Err(reason(&e.into())),
        }
    }
    match mounted.point.detach_lazily() {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(e) => Err(reason(&e.into())),
    }
}

/// Waits for the end of what was unmounted, and removes its directory.
async fn end(mounted: Mounted, patience: Duration) {
    let Mounted {
        point,
        daemon,
        permit,
    } = mounted;
    daemon.end(patience).await;
    remove(point).await;
    drop(permit);
}

async fn end_all(mounts: Vec<Mounted>, patience: Duration) {
    for mounted in &mounts {
        if let Err(e) = mounted.point.detach_lazily() {
            tracing::warn!(error = %e, "cannot unmount a bucket");
        }
    }
    // All of them are ending by now.
    let deadline = Instant::now() + patience;
    for mounted in mounts {
        end(mounted, deadline.saturating_duration_since(Instant::now())).await;
    }
}

/// Removes the directories that were made for a mount.
async fn remove(point: Arc<Point>) {
    // It blocks. It fails only when the runtime stops.
    let _ = spawn_blocking(move || drop(point)).await;
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::Mount(e.to_string())))
}
