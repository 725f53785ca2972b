//! The paths, headers and variables of `sandboxd`.

use serde::{Deserialize, Serialize};

use crate::{PersistOptions, Port, SessionId, WorkspacePath};

/// The port that `sandboxd` listens on inside its container. High, so that no user's program
/// usually listens on it; below 32768, where the kernel's ports for outgoing connections begin; and
/// not registered with IANA.
pub const PORT: u16 = 28671;
/// The port on which the `sandboxd` of earlier images listens.
pub const FORMER_PORT: u16 = 3000;

/// `GET`: [`Health`], once `sandboxd` is ready.
pub const HEALTH: &str = "/health";
/// `GET`: [`crate::Activity`].
pub const ACTIVITY: &str = "/activity";
/// `POST` an [`crate::ExecRequest`]: a stream of [`crate::Event`]s.
pub const EXEC: &str = "/exec";
/// `POST` a [`crate::CreateSession`]; `DELETE` on `/session/{sid}`.
pub const SESSION: &str = "/session";
/// `GET`, `HEAD`, `PUT` on `/file/{path}`, the path as [`WorkspacePath::to_url`] writes it.
pub const FILE: &str = "/file/";
/// `POST` a [`crate::MountRequest`] with its endpoint and credentials: `{"ok":true}` once the
/// bucket answers. With `credentialProxy` they are those of the Sandbox object: see [`crate::s3`].
/// An older `sandboxd` answers 501.
pub const MOUNT: &str = "/mount";
/// `POST` a [`crate::UnmountRequest`]: `{"ok":true}` once nothing is mounted there.
pub const UNMOUNT: &str = "/unmount";

/// `GET` with an upgrade to a WebSocket and a [`crate::PtyRequest`] as its query: a terminal.
pub const PTY: &str = "/pty";

/// The path of a session on `sandboxd`.
pub fn session_url(id: &SessionId) -> String {
    format!("{SESSION}/{id}")
}

/// The session in a path that [`session_url`] wrote.
pub fn session_id(path: &str) -> Option<SessionId> {
    SessionId::parse(path.strip_prefix(SESSION)?.strip_prefix('/')?).ok()
}

/// `GET` or `POST` with the query of [`PersistOptions`]: the workspace as an archive.
pub const PERSIST: &str = "/persist";
/// `POST` an archive: it is unpacked over the workspace.
pub const HYDRATE: &str = "/hydrate";

/// The path and query that ask `sandboxd` for the workspace.
pub fn persist_url(options: &PersistOptions) -> String {
    format!("{PERSIST}?{}", options.to_query())
}

/// On `/tunnel/{port}`: `GET` with `?name=` answers 200 with the [`crate::Tunnel`] that is open, if
/// it has that name, or 204 when one can be opened; `POST` with an [`crate::tunnel::OpenTunnel`]
/// answers 200 with the [`crate::Tunnel`], opened if there was none; `DELETE` closes it: 204.
pub const TUNNEL: &str = "/tunnel/";

/// The path of a tunnel on `sandboxd`.
pub fn tunnel_url(port: Port) -> String {
    format!("{TUNNEL}{port}")
}

/// The port in a path that [`tunnel_url`] wrote.
pub fn tunnel_port(path: &str) -> Option<Port> {
    Port::parse(path.strip_prefix(TUNNEL)?).ok()
}

/// The path of a file on `sandboxd`.
pub fn file_url(path: &WorkspacePath) -> String {
    format!("{FILE}{}", path.to_url())
}

/// Response header on everything that comes from `sandboxd`: the id of its boot.
pub const BOOT_ID_HEADER: &str = "sandbox-boot-id";
/// Request header of the Worker on uploads: the most bytes that the body may have.
pub const MAX_UPLOAD_HEADER: &str = "sandbox-max-upload-bytes";

/// Request header of the Worker on uploads of unknown length: text that follows the body and is not
/// part of it. A body that does not end with it broke off. (On the way to a container the runtime
/// ends a broken chunked body like a whole one.)
pub const END_MARK_HEADER: &str = "sandbox-upload-end-mark";

/// Environment variable with the boot id, set by the parent of `sandboxd`.
pub const BOOT_ID_ENV: &str = "SANDBOX_BOOT_ID";
/// Request header with the secret of the boot. A `sandboxd` with a secret answers no request
/// without it.
pub const SECRET_HEADER: &str = "sandbox-secret";
/// Environment variable with the secret of the boot; absent: none is needed.
pub const SECRET_ENV: &str = "SANDBOX_SECRET";
/// Environment variable with the user that commands run as; absent: the user of `sandboxd`.
pub const USER_ENV: &str = "SANDBOX_USER";
/// Environment variable with the path of `cloudflared`; absent: it is looked for in the system's
/// directories.
pub const CLOUDFLARED_ENV: &str = "SANDBOX_CLOUDFLARED";

/// The answer of [`HEALTH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always true: a `sandboxd` that is not ready does not answer.
    pub ok: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form() {
        assert_eq!(
            serde_json::to_string(&Health { ok: true }).unwrap(),
            r#"{"ok":true}"#
        );
        assert_eq!(
            persist_url(&PersistOptions::from_query("excludes=a/b,c").unwrap()),
            "/persist?format=tar&excludes=a%2Fb%2Cc"
        );
        assert_eq!(
            file_url(&WorkspacePath::parse("path", "a b").unwrap()),
            "/file/workspace/a%20b"
        );
        let session = SessionId::parse("s.1").unwrap();
        assert_eq!(session_url(&session), "/session/s.1");
        assert_eq!(session_id("/session/s.1"), Some(session));
        assert_eq!((session_id("/session"), session_id("/exec")), (None, None));
        let port = Port::parse("8080").unwrap();
        assert_eq!(tunnel_url(port), "/tunnel/8080");
        assert_eq!(tunnel_port("/tunnel/8080"), Some(port));
        assert_eq!((tunnel_port("/tunnel/28671"), tunnel_port("/exec")), (None, None));
    }
}
