//! The mounts of a sandbox: mounting, step by step, and the mounts that there are.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Gid, Uid};
use rustix::process::{Pid, getgid, getuid};
use sandbox_protocol::mount::{Credentials, MountPath, Remote, Source};
use sandbox_protocol::{Invalid, Limits, MountRequest};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::capability::MountCapability;
use super::daemon::Daemon;
use super::point::{Content, Point};
use super::probe;
use super::registry::{Mounted, Registry};
use super::s3fs::{self, CommandLine};
use super::stage::Stage;
use super::unmount::{detach, end, end_all, remove};
use crate::Error;
use crate::process::children::Children;
use crate::process::shell_error::os_message;
use crate::quota::{Buffers, Quota};
use crate::threads::PATHS;

/// How long s3fs may take to report why the bucket does not answer.
const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(2);

/// How long s3fs may take to end once it has no mount.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The mounts of a sandbox.
#[derive(Debug)]
pub struct Mounts {
    registry: Registry,
    quota: Quota,
    /// How long a bucket may take to answer. s3fs itself gives up an endpoint that refuses
    /// connections after 20 s.
    answer_timeout: Duration,
    capability: MountCapability,
    children: Arc<Children>,
    /// The owner of the files of a mount.
    owner: (Uid, Gid),
    /// The `PATH` to search for programs.
    path: Option<OsString>,
    /// The memory for the bodies of requests.
    pub(super) buffers: Buffers,
}

impl Mounts {
    /// No mounts yet. Their files will belong to `owner`, or to the server's own user; s3fs is
    /// looked for in `path`, a list like that of the variable `PATH`, and started by `capability`.
    /// `limits` bound their number, and the time until a bucket answers; the bodies of requests are
    /// held in `buffers`.
    pub fn new(
        owner: Option<(Uid, Gid)>,
        path: Option<OsString>,
        capability: MountCapability,
        children: Arc<Children>,
        limits: &Limits,
        buffers: Buffers,
    ) -> Self {
        Self {
            registry: Registry::default(),
            quota: Quota::new("mounted buckets", limits.max_mounts),
            answer_timeout: Duration::from_millis(limits.mount_timeout_ms.value),
            capability,
            children,
            owner: owner.unwrap_or_else(|| (getuid(), getgid())),
            path,
            buffers,
        }
    }

    /// Mounts a bucket, and returns once it answers at its path. Nothing is left when it does not.
    ///
    /// Errors: 400 when the request lacks the endpoint or the credentials, 501 when the object that
    /// is to serve it cannot be reached, 503 when the limit of mounts is reached, 502 with the
    /// reason for everything else.
    pub async fn mount(&self, request: &MountRequest) -> Result<(), Error> {
        let remote = complete(request)?;
        let json = RawValue::from_string(request.to_json()).map_err(|e| Error::Mount(e.to_string()))?;
        let path = &request.mount_path;
        let (held, dead) = self.registry.hold_for_mount(path).map_err(Error::Mount)?;
        let permit = match &dead {
            Some(dead) => Arc::clone(&dead.permit),
            None => Arc::new(self.quota.take()?),
        };
        if let Some(dead) = dead {
            // Its s3fs is gone, so the mount cannot be busy.
            let _ = detach(&dead).await;
            end(dead, EXIT_TIMEOUT).await;
        }
        if remote.credential_proxy {
            probe::reach(remote).await?;
        }
        let content = if s3fs::may_hide(&request.s3fs_options) {
            Content::Anything
        } else {
            Content::Nothing
        };
        let target = path.clone();
        let point = Arc::new(blocking(move || Point::prepare(&target, content)).await?);
        let mounted = self.mount_on(&point, request, remote).await;
        match mounted {
            Ok(daemon) => {
                tracing::info!(%path, "mounted a bucket");
                if let Some(late) = held.keep(Mounted {
                    point,
                    daemon,
                    permit,
                    request: json,
                }) {
                    end_all(vec![late], EXIT_TIMEOUT).await;
                }
                Ok(())
            }
            Err(message) => {
                tracing::info!(%path, "cannot mount a bucket: {message}");
                remove(point).await;
                Err(Error::Mount(message))
            }
        }
    }

    /// Mounts a bucket on a stage that nobody sees and, once it answers, on `point`. The error is
    /// text for the client.
    async fn mount_on(
        &self,
        point: &Arc<Point>,
        request: &MountRequest,
        remote: &Remote,
    ) -> Result<Daemon, String> {
        let credentials = remote.credentials.clone().filter(|_| !request.is_public());
        let made = {
            let credentials = credentials.clone();
            PATHS.run(move || Stage::make(credentials.as_ref())).await
        };
        let stage = made
            .flatten()
            .map_err(|e| format!("a directory for the mount cannot be made: {}", os_message(&e)))?;
        let result = self
            .mount_from(&stage, point, request, remote, credentials.as_ref())
            .await;
        // It blocks. It fails only when it panics.
        let _ = PATHS.run(move || drop(stage)).await;
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
        let arguments = CommandLine {
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
        let daemon = self.capability.run(start).await.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => "s3fs is not installed in the sandbox".to_owned(),
            _ => format!("s3fs: {}", os_message(&e)),
        })?;
        let attached = async {
            let root = match timeout(self.answer_timeout, stage.answers(&daemon)).await {
                Ok(answered) => answered?,
                Err(_) => {
                    return Err(format!(
                        "the bucket did not answer within {} s",
                        self.answer_timeout.as_secs_f64()
                    ));
                }
            };
            let point = Arc::clone(point);
            let attached = PATHS.run(move || point.attach(&root)).await;
            attached.flatten().map_err(|e| os_message(&e))
        };
        let Err(message) = attached.await else {
            return Ok(daemon);
        };
        // It usually ends on its own, and has logged why.
        let _ = timeout(DIAGNOSIS_TIMEOUT, daemon.ended()).await;
        let output = s3fs::error_text(&daemon.output().await, credentials);
        daemon.end(Duration::ZERO).await;
        Err(output.map_or(message, |output| format!("s3fs: {output}")))
    }

    /// Unmounts the bucket at `path`, and removes those directories made for it that are empty.
    ///
    /// Errors: 502 when nothing is mounted there, or when the mount is in use; then it stays.
    pub async fn unmount(&self, path: &MountPath) -> Result<(), Error> {
        let (held, mounted) = self.registry.hold_for_unmount(path).map_err(Error::Unmount)?;
        match detach(&mounted).await {
            Ok(()) => {
                end(mounted, EXIT_TIMEOUT).await;
                tracing::info!(%path, "unmounted a bucket");
                Ok(())
            }
            Err(message) => {
                if let Some(late) = held.keep(mounted) {
                    end_all(vec![late], EXIT_TIMEOUT).await;
                }
                Err(Error::Unmount(format!("{path}: {message}")))
            }
        }
    }

    /// The directories at which buckets are mounted.
    pub fn paths(&self) -> Vec<String> {
        self.registry.paths()
    }

    /// The requests for the buckets that are mounted. They have the credentials.
    pub fn requests(&self) -> Vec<Box<RawValue>> {
        self.registry.requests()
    }

    /// The directories at which buckets are mounted, or are being mounted or unmounted.
    pub fn used_paths(&self) -> Vec<String> {
        self.registry.used_paths()
    }

    /// The processes that must not end before commands.
    pub fn processes(&self) -> Vec<Pid> {
        self.registry.processes()
    }

    /// Unmounts everything, and takes no new mounts.
    pub async fn shut_down(&self, limit: Duration) {
        end_all(self.registry.close(), limit).await;
    }
}

/// The bucket to mount, if the request has all that is needed.
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    PATHS
        .run(work)
        .await
        .unwrap_or_else(|e| Err(Error::Mount(e.to_string())))
}
