//! Requests to a Durable Object or to `sandboxd` that fail without a response.
//!
//! Clients repeat a request after a 503. So 503 means that nothing was started: the request did not
//! arrive, or it changes nothing. Every other request may have been carried out: 502, with the
//! contract's code for its route.

use sandbox_protocol::{ErrorCode, ObjectCall, s3, sandboxd};

use crate::error::ApiError;

/// Whether a request was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It was rejected before any of it was sent.
    NotDelivered,
    /// It may have arrived.
    Unknown,
}

/// Whether a request has the same effect when it is sent twice. `path` is as the receiver sees it,
/// with or without a query.
pub fn is_repeatable(method: &str, path: &str) -> bool {
    let saves = path.ends_with("?save=true");
    let path = without_query(path);
    match ObjectCall::from_path(path) {
        Some(ObjectCall::Mount | ObjectCall::Snapshot | ObjectCall::Restore | ObjectCall::Fork) => {
            return false;
        }
        // The one that is repeated has nothing to save any more.
        Some(ObjectCall::Destroy) => return !saves,
        Some(_) => return true,
        None => {}
    }
    match path {
        // Opens a terminal, though it is a `GET`.
        sandboxd::PTY => false,
        // Reads, though it may be a `POST`.
        sandboxd::PERSIST | sandboxd::SEARCH => true,
        path if path.starts_with("/pool/") || path.starts_with("/index/") => true,
        // Keeps the process from running ahead of its client, though it is a `GET`.
        path if is_attach(path) => false,
        // Its server decides whether it changes anything.
        path if sandboxd::is_of_server(path) => false,
        // Only waits.
        path if path.starts_with(sandboxd::PORT_PATH) => true,
        _ => matches!(method, "GET" | "HEAD"),
    }
}

fn is_attach(path: &str) -> bool {
    sandboxd::process_id(path).is_some_and(|id| path == sandboxd::process_url(&id, "/attach"))
}

/// The error of a request that failed without a response; `text` is the reason.
pub fn error(method: &str, path: &str, delivery: Delivery, text: String) -> ApiError {
    if delivery == Delivery::NotDelivered || is_repeatable(method, path) {
        ApiError::Unavailable(text)
    } else {
        ApiError::ConnectionLost(code(path), text)
    }
}

/// The contract's code for a route that fails with 502.
fn code(path: &str) -> ErrorCode {
    let path = without_query(path);
    let is_below = |prefix: &str| path.starts_with(prefix);
    match path {
        sandboxd::HYDRATE => ErrorCode::WorkspaceArchiveWriteError,
        sandboxd::UNMOUNT => ErrorCode::UnmountError,
        sandboxd::MOUNT => ErrorCode::MountError,
        _ if is_about_snapshots(path) => ErrorCode::SnapshotError,
        _ if path == ObjectCall::Mount.path() || is_below(s3::OBJECT) => ErrorCode::MountError,
        // A write: reads of files are repeatable.
        _ if sandboxd::is_change_of_files(path) => ErrorCode::WorkspaceArchiveWriteError,
        _ if is_below(sandboxd::SESSION) => ErrorCode::SessionError,
        _ if is_below(sandboxd::TUNNEL) => ErrorCode::TunnelError,
        _ => ErrorCode::ExecTransportError,
    }
}

/// A DELETE is, when it saves first: else it is repeatable.
fn is_about_snapshots(path: &str) -> bool {
    use ObjectCall::{Destroy, Fork, Restore, Snapshot};
    matches!(
        ObjectCall::from_path(path),
        Some(Snapshot | Restore | Fork | Destroy)
    )
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_may_have_been_carried_out_is_502_with_the_code_of_its_route() {
        for (method, path, name) in [
            ("POST", "/exec", "exec_transport_error"),
            ("GET", "/pty?cols=80&rows=24", "exec_transport_error"),
            ("POST", "/process", "exec_transport_error"),
            ("POST", "/git/checkout", "exec_transport_error"),
            ("DELETE", "/process?grace_ms=5000", "exec_transport_error"),
            ("DELETE", "/process/a?grace_ms=5000", "exec_transport_error"),
            ("POST", "/process/a/stdin?close=true", "exec_transport_error"),
            ("POST", "/process/a/signal", "exec_transport_error"),
            ("POST", "/process/a/wait", "exec_transport_error"),
            ("GET", "/process/a/attach?since=0", "exec_transport_error"),
            ("PUT", "/file/workspace/a", "workspace_archive_write_error"),
            (
                "DELETE",
                "/file/workspace/a?recursive=true",
                "workspace_archive_write_error",
            ),
            ("PUT", "/directory/workspace/a", "workspace_archive_write_error"),
            ("POST", "/move", "workspace_archive_write_error"),
            ("POST", "/copy", "workspace_archive_write_error"),
            ("POST", "/edit", "workspace_archive_write_error"),
            ("POST", "/hydrate", "workspace_archive_write_error"),
            ("POST", "/session", "session_error"),
            ("DELETE", "/session/a", "session_error"),
            ("POST", "/mount", "mount_error"),
            ("POST", "/object/mount", "mount_error"),
            ("PUT", "/object/s3/mounted-bucket/a?partNumber=1", "mount_error"),
            ("POST", "/unmount", "unmount_error"),
            ("POST", "/tunnel/8080", "tunnel_error"),
            ("DELETE", "/tunnel/8080", "tunnel_error"),
            ("POST", "/object/snapshot", "snapshot_error"),
            ("POST", "/object/restore", "snapshot_error"),
            ("POST", "/object/fork", "snapshot_error"),
            ("POST", "/object/destroy?save=true", "snapshot_error"),
            ("GET", "/proxy/8080", "exec_transport_error"),
            ("POST", "/proxy/8080", "exec_transport_error"),
            ("GET", "/tcp/8080", "exec_transport_error"),
        ] {
            let lost = error(method, path, Delivery::Unknown, "lost".into());
            let code = serde_json::to_value(lost.parts().1).unwrap();
            assert_eq!(
                (lost.parts().0, code.as_str()),
                (502, Some(name)),
                "{method} {path}"
            );
            assert_eq!(lost.retry_after_seconds(0.0), None);
            let refused = error(method, path, Delivery::NotDelivered, "refused".into());
            assert_eq!(refused.parts().0, 503, "{method} {path}");
            assert!(refused.retry_after_seconds(0.0).is_some());
        }
    }

    #[test]
    fn a_repeatable_request_is_503() {
        for (method, path) in [
            ("GET", "/file/workspace/a"),
            ("HEAD", "/file/workspace/a"),
            ("GET", "/directory/workspace?depth=1"),
            ("GET", "/stat/workspace/a"),
            ("POST", "/search"),
            ("POST", "/persist?format=tar"),
            ("GET", "/process?limit=100"),
            ("GET", "/process/attach"),
            ("GET", "/process/a/log?since=0"),
            ("GET", "/tunnel/8080?name=a"),
            ("GET", "/port"),
            ("POST", "/port/8080"),
            ("POST", "/object/running"),
            ("POST", "/object/destroy"),
            ("POST", "/object/warm"),
            ("POST", "/pool/prime"),
            ("GET", "/object/s3/mounted-bucket/a"),
        ] {
            let lost = error(method, path, Delivery::Unknown, "lost".into());
            assert_eq!(lost.parts().0, 503, "{method} {path}");
        }
    }
}
