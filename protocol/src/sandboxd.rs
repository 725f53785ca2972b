//! The paths, headers and variables of `sandboxd`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::snapshot::RestoreQuery;
use crate::{ContextId, FilePath, PersistOptions, Port, ProcessId, ServerPort, SessionId, preview};

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
/// `GET`: the [`crate::sandbox::Status`].
pub const STATUS: &str = "/status";
/// `PUT` an [`Environment`]: every later command, process and terminal has these variables. 204.
pub const ENVIRONMENT: &str = "/environment";
/// `POST` an [`crate::ExecRequest`]: a stream of [`crate::Event`]s.
pub const EXEC: &str = "/exec";
/// `POST` an [`crate::ExecRequest`]: the [`crate::process::Process`]. `GET`: all of them. `DELETE`:
/// ends all of them. On `/process/{pid}`: `GET`, `DELETE`; `GET` of `log` and `attach`; `POST` of
/// `stdin`, `signal` and `wait`.
pub const PROCESS: &str = "/process";
/// `POST` a [`crate::CheckoutRequest`]: a [`crate::git::Checkout`], or a stream of [`crate::Event`]s.
pub const GIT_CHECKOUT: &str = "/git/checkout";
/// `POST` a [`crate::ContextRequest`]: the [`crate::code::Context`]. `GET`: all of them. On
/// `/context/{cid}`: `DELETE`; `POST` of `interrupt` and `restart`; `GET` of `output/{n}/{mime}`.
pub const CONTEXT: &str = "/context";
/// `POST` a [`crate::RunCodeRequest`]: a [`crate::code::Execution`], or a stream of [`crate::Event`]s.
pub const RUN_CODE: &str = "/run-code";
/// `GET`: the [`crate::code::LanguageList`].
pub const LANGUAGE: &str = "/language";
/// `POST` a [`crate::CreateSession`]; `DELETE` on `/session/{sid}`.
pub const SESSION: &str = "/session";
/// `GET`, `HEAD`, `PUT`, `DELETE`, `PATCH` on `/file/{path}`, the path as [`FilePath::to_url`] writes
/// it.
pub const FILE: &str = "/file/";
/// `GET` of a [`crate::file::DirectoryPage`] and `PUT` on `/directory/{path}`.
pub const DIRECTORY: &str = "/directory/";
/// `GET` of a [`crate::file::Entry`] on `/stat/{path}`.
pub const STAT: &str = "/stat/";
/// `POST` a [`crate::file::MoveRequest`].
pub const MOVE: &str = "/move";
/// `POST` a [`crate::file::CopyRequest`].
pub const COPY: &str = "/copy";
/// `POST` a [`crate::file::EditRequest`].
pub const EDIT: &str = "/edit";
/// `POST` a [`crate::file::SearchRequest`].
pub const SEARCH: &str = "/search";
/// `GET` on `/watch/{path}`: a stream of [`crate::file::WatchEvent`]s.
pub const WATCH: &str = "/watch/";
/// `GET` of [`crate::file::Changes`] on `/changes/{path}`.
pub const CHANGES: &str = "/changes/";
/// `POST` a [`crate::MountRequest`] with its endpoint and credentials: `{"ok":true}` once the
/// bucket answers. With `credentialProxy` they are those of the Sandbox object: see [`crate::s3`].
/// An older `sandboxd` answers 501.
pub const MOUNT: &str = "/mount";
/// `POST` a [`crate::UnmountRequest`]: `{"ok":true}` once nothing is mounted there.
pub const UNMOUNT: &str = "/unmount";

/// `GET` with an upgrade to a WebSocket and a [`crate::PtyRequest`] as its query: a terminal.
pub const PTY: &str = "/pty";

/// The body of `PUT` on [`ENVIRONMENT`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The variables, over those of the image.
    pub env: BTreeMap<String, String>,
}

/// The path of a process on `sandboxd`, or of a part of it: `part` is empty, or begins with `/`.
pub fn process_url(id: &ProcessId, part: &str) -> String {
    format!("{PROCESS}/{id}{part}")
}

/// Whether a path, without its query, is of a process that exists or of all of them. Starting one
/// is not.
pub fn is_of_processes(method: &str, path: &str) -> bool {
    match path.strip_prefix(PROCESS) {
        Some("") => method != "POST",
        Some(rest) => rest.starts_with('/'),
        None => false,
    }
}

/// The path of a context on `sandboxd`, or of a part of it: `part` is empty, or begins with `/`.
pub fn context_url(id: &ContextId, part: &str) -> String {
    format!("{CONTEXT}/{id}{part}")
}

/// The context in a path that [`context_url`] wrote.
pub fn context_id(path: &str) -> Option<ContextId> {
    let id = path.strip_prefix(CONTEXT)?.strip_prefix('/')?;
    ContextId::parse(id.split('/').next()?).ok()
}

/// Whether a path, without its query, is of a context that exists, of all of them, or of the languages.
/// Creating a context is not.
pub fn is_of_contexts(method: &str, path: &str) -> bool {
    match path.strip_prefix(CONTEXT) {
        Some("") => method != "POST",
        Some(rest) => rest.starts_with('/'),
        None => path == LANGUAGE,
    }
}

/// Whether a request reads or removes files, so that it starts no sandbox. `GET` of a file starts
/// one, as in the first version of the API.
pub fn is_of_existing_files(method: &str, path: &str) -> bool {
    let is_below = |prefix: &str| path.starts_with(prefix);
    match method {
        "GET" => [DIRECTORY, STAT, WATCH, CHANGES].into_iter().any(is_below),
        "POST" => path == SEARCH,
        "DELETE" => is_below(FILE),
        _ => false,
    }
}

/// Whether a request changes files.
pub fn is_change_of_files(path: &str) -> bool {
    [FILE, DIRECTORY].iter().any(|prefix| path.starts_with(prefix)) || [MOVE, COPY, EDIT].contains(&path)
}

/// The process in a path that [`process_url`] wrote.
pub fn process_id(path: &str) -> Option<ProcessId> {
    let id = path.strip_prefix(PROCESS)?.strip_prefix('/')?;
    ProcessId::parse(id.split('/').next()?).ok()
}

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
/// `POST` an archive, with the query of [`crate::archive::archive_path`]: it is unpacked over that
/// directory, or the workspace.
pub const HYDRATE: &str = "/hydrate";

/// `POST` a [`crate::snapshot::SaveRequest`]: the [`crate::snapshot::SaveStarted`]. On `/save/{id}`:
/// `GET` of `part/{n}`, the bytes of a part of the archive, from 1, with
/// [`crate::snapshot::LAST_PART_HEADER`] on the last one; `GET` of `contents`, the
/// [`crate::snapshot::Contents`] once the whole archive was made; `DELETE` ends the save: 204. None of
/// these counts as activity. A request for part `n` tells that all parts before the last
/// [`crate::snapshot::PARTS_KEPT`] of them, `n` included, are not asked for again.
/// There is one save or restore at a time: another one ends a save, and waits for a restore; it is 503
/// `limit_exceeded` after `SANDBOX_SAVE_IDLE_MS`. A save that nothing is asked of for that time ends.
/// 502 `snapshot_error`: a file could not be read, or the save has ended.
pub const SAVE: &str = "/save";
/// `POST` the archive of a snapshot, with the query of [`restore_url`]: the directory is replaced by
/// the archive's, or left as it is, unless its content is to be discarded. 200 with a [`crate::snapshot::Restored`]; 409
/// `restore_incomplete` when the archive is not the one that was saved, 409 `restore_conflict` when
/// something is mounted in the directory, 507 `no_space` when the disk is full.
pub const RESTORE: &str = "/restore";
/// `GET`: the [`crate::snapshot::Resume`].
pub const RESUME: &str = "/resume";

/// The path and query of a restore.
pub fn restore_url(query: &RestoreQuery) -> String {
    let RestoreQuery {
        dir,
        sha256,
        files,
        discard,
    } = query;
    let dir = crate::archive::path_parameter(dir);
    format!("{RESTORE}?{dir}&sha256={sha256}&files={files}&discard={discard}")
}

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

/// `GET`: an array of the ports on which processes listen. `POST` of a [`crate::port::PortWaitRequest`] on
/// `/port/{port}`: the [`crate::port::PortWaitResult`].
pub const PORT_PATH: &str = "/port";

/// On `/proxy/{port}`: any request, for the HTTP server on that port. It has [`TARGET_HEADER`].
pub const PROXY: &str = "/proxy/";

/// On `/tcp/{port}`: `GET` with an upgrade to a WebSocket, which carries a TCP connection.
pub const TCP: &str = "/tcp/";

/// Headers of one connection (RFC 9110, section 7.6.1), besides those that `Connection` lists and
/// `Upgrade`. No proxy forwards them.
pub const CONNECTION_HEADERS: [&str; 6] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// Request header of the Worker on [`PROXY`]: the path and the query of the request for the server.
/// In a URL, `..` would lead to other routes.
pub const TARGET_HEADER: &str = "sandbox-proxy-target";

/// The path of the wait for a port on `sandboxd`.
pub fn port_wait_url(port: ServerPort) -> String {
    format!("{PORT_PATH}/{port}")
}

/// The path of the HTTP server on a port.
pub fn proxy_url(port: ServerPort) -> String {
    format!("{PROXY}{port}")
}

/// The path of the TCP server on a port.
pub fn tcp_url(port: ServerPort) -> String {
    format!("{TCP}{port}")
}

/// Whether a path is of a server on a port, or of the ports: such a request starts no sandbox.
pub fn is_of_ports(path: &str) -> bool {
    path == PORT_PATH
        || path
            .strip_prefix(PORT_PATH)
            .is_some_and(|rest| rest.starts_with('/'))
        || is_of_server(path)
}

/// Whether a path is of a server on a port: what is sent there and answered is the server's.
pub fn is_of_server(path: &str) -> bool {
    [PROXY, TCP, preview::VISIT]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// A path on `sandboxd` of an operation on a file: `prefix` is [`FILE`], [`DIRECTORY`] or [`STAT`].
pub fn file_url(prefix: &str, path: &FilePath) -> String {
    format!("{prefix}{}", path.to_url())
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
/// Environment variable with the [`crate::FileRoots`]; absent: the workspace alone.
pub const FILE_ROOTS_ENV: &str = "SANDBOX_FILE_ROOTS";
/// Environment variable with the languages whose kernels are kept ready, with commas between them;
/// absent: none. The Worker's variable has the same name.
pub const CODE_PREWARM_ENV: &str = "CODE_PREWARM";
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
mod tests;
