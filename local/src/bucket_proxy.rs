//! The way of the s3fs in a sandbox to the S3 of its Sandbox object.
//!
//! A sandbox does not reach the Worker: it listens on this machine's loopback. This process therefore
//! listens in the sandbox's network namespace, and forwards requests for the S3 of that sandbox, and
//! nothing else, to the Worker. Everything in the sandbox can connect there; without the token of a
//! mount, the Worker refuses the request.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sandbox_protocol::{SandboxId, s3, sandboxd};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// The maximum of connections of one sandbox; more wait. It keeps a command from using up the
/// descriptors that other sandboxes need, and s3fs has fewer.
const MAX_CONNECTIONS: usize = 128;
/// The pause after a failed accept: there may be no descriptors left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves the S3 of one sandbox's object to the sandbox, until it is dropped.
#[derive(Debug)]
pub struct BucketProxy {
    address: SocketAddr,
    task: AbortHandle,
}

impl BucketProxy {
    /// Serves the sandbox `id`, whose processes have the network namespace of the process `pid`, with
    /// the S3 of the Worker at `worker`. A namespace of its own has the port of `sandboxd` free for
    /// this, as `sandboxd` listens outside. Takes root.
    ///
    /// Errors: the process has ended, or the port is not free.
    pub fn in_namespace(pid: i32, worker: Uri, id: &SandboxId) -> io::Result<Self> {
        // A namespace belongs to a thread: this one ends with it.
        let listening = thread::spawn(move || {
            let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            // Every address, as the loopback device may not be up yet. Nothing outside can connect.
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, sandboxd::PORT))
        });
        let listener = listening
            .join()
            .map_err(|_| io::Error::other("the thread that listens panicked"))??;
        Self::serve(listener, worker, id)
    }

    /// The same for a sandbox in the network of this machine.
    pub fn on_this_machine(worker: Uri, id: &SandboxId) -> io::Result<Self> {
        Self::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, worker, id)
    }

    fn serve(listener: TcpListener, worker: Uri, id: &SandboxId) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut address = listener.local_addr()?;
        address.set_ip(Ipv4Addr::LOCALHOST.into());
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let target = Arc::new(Target {
            worker,
            path: s3::path(id),
        });
        let task = tokio::spawn(accept(listener, target)).abort_handle();
        Ok(Self { address, task })
    }

    /// The origin of its URLs, as the sandbox sees it.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for BucketProxy {
    fn drop(&mut self) {
        // Ends its connections, too.
        self.task.abort();
    }
}

/// The part of the Worker that a sandbox may reach.
#[derive(Debug)]
struct Target {
    worker: Uri,
    /// The path of its S3.
    path: String,
}

async fn accept(listener: tokio::net::TcpListener, target: Arc<Target>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!("a connection of a sandbox could not be accepted: {e}");
                sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let target = Arc::clone(&target);
        connections.spawn(async move {
            let answer = service_fn(|request| {
                let target = Arc::clone(&target);
                async move { io::Result::Ok(forward(&target, request).await) }
            });
            // An error is the end of the connection, which its client notices, too.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
            drop(permit);
        });
    }
}

/// The response of the Worker; 404 for all but the sandbox's own S3, 502 when the Worker does not
/// answer.
async fn forward(target: &Target, mut request: Request<Incoming>) -> Response {
    if !is_below(request.uri().path(), &target.path) {
        return (StatusCode::NOT_FOUND, "only the S3 of this sandbox is here").into_response();
    }
    // Without the host of a request in absolute form.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    remove_hop_by_hop(request.headers_mut());
    match http1_client::forward(&target.worker, request).await {
        Ok(mut response) => {
            remove_hop_by_hop(response.headers_mut());
            response.map(Body::new)
        }
        Err(e) => {
            tracing::warn!("the Worker did not answer an S3 request of a sandbox: {e}");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

/// Whether `path` is `parent` or below it, also for a server that resolves `.` and `..`, or takes a
/// backslash for a slash, as the Worker does.
fn is_below(path: &str, parent: &str) -> bool {
    let is_dots = |segment: &str| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    };
    let rest = path.strip_prefix(parent);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !path.contains('\\')
        && !path.split('/').any(is_dots)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in sandboxd::CONNECTION_HEADERS
        .into_iter()
        .chain(["expect", "upgrade"])
    {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_parent_are_forwarded() {
        let parent = "/v1/sandbox/abc/s3";
        for path in [
            "",
            "/",
            "/mounted-bucket/a%2Fb",
            "/mounted-bucket/..a/...",
            "/b//c",
            "/..%2Fa",
        ] {
            assert!(is_below(&format!("{parent}{path}"), parent), "{path}");
        }
        for path in [
            "/v1/sandbox",
            "/v1/sandbox/abc/s3x",
            "/v1/sandbox/abd/s3/b",
            "/v1/sandbox/abc/s3/..",
            "/v1/sandbox/abc/s3/../exec",
            "/v1/sandbox/abc/s3/./b",
            "/v1/sandbox/abc/s3/%2e%2E/exec",
            "/v1/sandbox/abc/s3/.%2e/exec",
            "/v1/sandbox/abc/s3\\..\\exec",
            "/v1/sandbox/abc/s3/b\\..\\..\\exec",
            "//v1/sandbox/abc/s3",
            "*",
        ] {
            assert!(!is_below(path, parent), "{path}");
        }
    }
}
