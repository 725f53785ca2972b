//! The errors of each operation, held against the two enums that make them: the Worker's and that
//! of `sandboxd`. An operation has the errors that are listed for it here, and no others; a variant
//! that is not listed does not compile.

mod groups;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use axum::http::StatusCode;
use sandbar::error::ApiError;
use sandbar_openapi::{document, operations};
use sandbox_protocol::file::EditMismatch;
use sandbox_protocol::limits::Limit;
use sandbox_protocol::{
    ContextId, ErrorBody, ErrorCode, FilePath, FileRoots, Invalid, ProcessId, SandboxId, SessionId,
    SnapshotId,
};
use sandboxd::Error;

use self::groups::*;

/// The statuses and codes of an enum, each with the operations that it can end.
macro_rules! table {
    ($name:ident of $error:ty { $($pattern:pat => [$($sample:expr => $at:expr),+],)+ }) => {
        fn $name() -> Vec<(u16, ErrorCode, At)> {
            // Without a wildcard: a variant that is not listed does not compile.
            fn row(error: &$error) -> &'static str {
                match error {
                    $($pattern => stringify!($pattern),)+
                }
            }
            let mut table = Vec::new();
            $($({
                let sample: $error = $sample;
                assert_eq!(row(&sample), stringify!($pattern));
                let (status, code) = sample.parts();
                table.push((StatusCode::try_from(status).unwrap().as_u16(), code, $at));
            })+)+
            table
        }
    };
}

table! {
    errors_of_the_worker of ApiError {
        ApiError::Invalid(_) => [
            Invalid::request("").into() => At::Sandbox,
            Invalid::request("").into() => At::Ids(&["createToken", "createSandbox", "listSandboxes", "callSandboxMcp"]),
            Invalid::request("").into() => SNAPSHOTS,
            Invalid::outside("").into() => FILES,
            Invalid::outside("").into() => DIRECTORIES
        ],
        ApiError::Unauthorized => [ApiError::Unauthorized => At::Guarded],
        ApiError::Forbidden(_) => [ApiError::Forbidden(text()) => At::Guarded],
        ApiError::CrossOrigin => [ApiError::CrossOrigin => At::Guarded],
        ApiError::NotConfigured(_) => [
            ApiError::NotConfigured(text()) => At::Guarded,
            ApiError::NotConfigured(text()) => At::Ids(&["healthCheck"])
        ],
        ApiError::NotFound => [ApiError::NotFound => At::Nowhere],
        ApiError::MethodNotAllowed(_) => [ApiError::MethodNotAllowed("GET".into()) => At::Nowhere],
        ApiError::TooLarge { .. } => [ApiError::TooLarge { limit: 0 } => BODIES],
        ApiError::Tunnel(_) => [ApiError::Tunnel(text()) => At::Ids(&["createTunnel", "deleteTunnel"])],
        ApiError::Mount(_) => [ApiError::Mount(text()) => At::Ids(&["mountBucket"])],
        ApiError::Unmount(_) => [ApiError::Unmount(text()) => At::Ids(&["unmountBucket"])],
        ApiError::SandboxNotFound(_) => [
            ApiError::SandboxNotFound(SandboxId::parse("a").unwrap())
                => At::Ids(&["getSandbox", "exposePort", "forkSandbox"])
        ],
        ApiError::SessionNotFound(_) => [
            ApiError::SessionNotFound(SessionId::parse("s").unwrap()) => At::Ids(&["deleteSession"])
        ],
        ApiError::FileNotFound(_) => [
            ApiError::FileNotFound(FilePath::parse("path", "a", &FileRoots::default()).unwrap())
                => At::Ids(&["deleteFile", "statFile", "watchFiles"])
        ],
        ApiError::WorkspaceFileNotFound(_) => [ApiError::WorkspaceFileNotFound(text()) => READS],
        ApiError::IsDirectory(_) => [ApiError::IsDirectory(text()) => READS],
        ApiError::SnapshotNotFound(_) => [
            ApiError::SnapshotNotFound(SnapshotId::new(0, [0; 16]))
                => At::Ids(&["getSnapshot", "deleteSnapshot", "restoreSnapshot", "createSandbox", "updateSandbox"])
        ],
        ApiError::RestoreIncomplete(_) => [ApiError::RestoreIncomplete(text()) => At::Starting],
        ApiError::Snapshot(_) => [
            ApiError::Snapshot(text()) => STORES,
            ApiError::Snapshot(text()) => At::Ids(&["stopSandbox", "readFile", "headFile", "statFile", "listDirectory"])
        ],
        // It is one of the errors of sandboxd, or of another operation.
        ApiError::Answered(..) => [
            ApiError::Answered(404, ErrorBody::new(ErrorCode::SandboxNotFound, "")) => At::Ids(&["forkSandbox"])
        ],
        ApiError::ContextNotFound(_) => [
            ApiError::ContextNotFound(ContextId::parse("c").unwrap()) => OF_CONTEXT
        ],
        ApiError::ProcessNotFound(_) => [
            ApiError::ProcessNotFound(ProcessId::parse("p").unwrap()) => OF_PROCESS
        ],
        ApiError::DefaultSession => [ApiError::DefaultSession => At::Ids(&["deleteSession"])],
        ApiError::NotSupported(_) => [
            ApiError::NotSupported(text()) => At::Ids(&["mountBucket", "exposePort"]),
            ApiError::NotSupported(text()) => STORES
        ],
        // Previews are not in the document.
        ApiError::InvalidToken => [ApiError::InvalidToken => At::Nowhere],
        ApiError::NotRunning(_) => [
            ApiError::NotRunning(SandboxId::parse("a").unwrap())
                => At::Ids(&["waitForPort", "proxyPort", "connectTcp"])
        ],
        ApiError::Unavailable(_) => [
            ApiError::Unavailable(text()) => At::Sandbox,
            ApiError::Unavailable(text()) => POOL,
            ApiError::Unavailable(text()) => At::Ids(&["createSandbox"])
        ],
        ApiError::ConnectionLost(..) => [
            lost(ErrorCode::ExecTransportError) => COMMANDS,
            lost(ErrorCode::ExecTransportError) => CONNECTS,
            lost(ErrorCode::WorkspaceArchiveWriteError) => CHANGES,
            lost(ErrorCode::SnapshotError) => At::Ids(&["createSnapshot", "restoreSnapshot", "forkSandbox", "deleteSandbox"]),
            lost(ErrorCode::SessionError) => At::Ids(&["createSession", "deleteSession"]),
            lost(ErrorCode::MountError) => At::Ids(&["mountBucket"]),
            lost(ErrorCode::UnmountError) => At::Ids(&["unmountBucket"]),
            lost(ErrorCode::TunnelError) => At::Ids(&["createTunnel", "deleteTunnel"])
        ],
        ApiError::Capacity(_) => [ApiError::Capacity(text()) => At::Starting],
        ApiError::Rate(_) => [ApiError::Rate(text()) => At::Starting],
        ApiError::StartFailed(_) => [ApiError::StartFailed(text()) => At::Sandbox],
        ApiError::Internal(_) => [ApiError::Internal(text()) => At::Guarded],
    }
}

table! {
    errors_of_sandboxd of Error {
        Error::Invalid(_) => [
            Invalid::request("").into() => At::Asking,
            Invalid::outside("").into() => FILES,
            Invalid::outside("").into() => DIRECTORIES
        ],
        // The Worker asks for nothing that is not there.
        Error::NoRoute(_) => [Error::NoRoute(text()) => At::Nowhere],
        Error::Method(_) => [Error::Method(text()) => At::Nowhere],
        Error::FileNotFound(_) => [Error::FileNotFound(text()) => READS],
        Error::NoEntry(_) => [
            Error::NoEntry(text()) => EXISTING,
            Error::NoEntry(text()) => At::Ids(&["createSnapshot"]),
            Error::NoEntry(text()) => At::Ids(&["getContextOutput"])
        ],
        Error::FileExists(_) => [
            Error::FileExists(text()) => At::Ids(&["createDirectory", "moveFile", "copyFile", "hydrateWorkspace"])
        ],
        Error::EditMismatch(_) => [
            Error::EditMismatch(EditMismatch { path: text(), edit: 0, found: 0 })
                => At::Ids(&["editFiles"])
        ],
        Error::Precondition(_) => [
            Error::Precondition(text()) => At::Ids(&["writeFile", "deleteFile", "editFiles"])
        ],
        Error::IsDirectory(_) => [Error::IsDirectory(text()) => FILES],
        Error::Denied(_) => [Error::Denied(text()) => FILES],
        Error::TooLarge { .. } => [Error::TooLarge { limit: 0 } => BODIES],
        Error::Limit { .. } => [Error::Limit { what: "", limit: LIMIT } => At::Asking],
        Error::Late(_) => [
            Error::Late(LIMIT) => UPLOADS,
            Error::Late(LIMIT) => At::Ids(&["writeProcessStdin"])
        ],
        Error::Unauthorized => [Error::Unauthorized => At::Asking],
        Error::Range { .. } => [Error::Range { size: 0 } => At::Ids(&["readFile"])],
        // Of a run or a command, it is an event of the stream.
        Error::Exec(_) => [Error::Exec(failed()) => At::Ids(&["restartContext"])],
        Error::ContextNotFound(_) => [
            Error::ContextNotFound(text()) => OF_CONTEXT,
            Error::ContextNotFound(text()) => RUN_CODE
        ],
        Error::ContextExists(_) => [Error::ContextExists(text()) => At::Ids(&["createContext", "runCode"])],
        Error::ContextLost(_) => [Error::ContextLost(text()) => At::Ids(&["interruptContext", "runCode"])],
        Error::Snapshot(_) => [
            Error::Snapshot(text()) => At::Ids(&["createSnapshot", "restoreSnapshot", "forkSandbox"])
        ],
        Error::RestoreIncomplete(_) => [Error::RestoreIncomplete(text()) => At::Ids(&["restoreSnapshot"])],
        Error::RestoreConflict(_) => [Error::RestoreConflict(text()) => At::Ids(&["restoreSnapshot"])],
        Error::Session(_) => [Error::Session(text()) => At::Ids(&["createSession", "deleteSession"])],
        Error::SessionExists(_) => [Error::SessionExists(text()) => At::Ids(&["createSession"])],
        Error::SessionNotFound(_) => [Error::SessionNotFound(text()) => At::Ids(&["deleteSession"])],
        // The answer as JSON. In a stream it is an event.
        Error::Failed(_) => [
            Error::Failed(ErrorBody::new(ErrorCode::ExecError, "")) => At::Ids(&["execCommand", "runCode"]),
            Error::Failed(ErrorBody::new(ErrorCode::ContextLost, "")) => RUN_CODE,
            Error::Failed(ErrorBody::new(ErrorCode::SessionError, "")) => At::Ids(&["execCommand"])
        ],
        Error::ProcessNotFound(_) => [
            Error::ProcessNotFound(text()) => OF_PROCESS,
            // A stream that cannot be continued.
            Error::ProcessNotFound(text()) => At::Ids(&["execCommand", "runCode"])
        ],
        Error::ProcessExists(_) => [
            Error::ProcessExists(text()) => At::Ids(&["execCommand", "startProcess", "runCode"])
        ],
        Error::ProcessEnded(_) => [Error::ProcessEnded(text()) => At::Ids(&["signalProcess"])],
        Error::StdinOffset(_) => [Error::StdinOffset(0) => At::Ids(&["writeProcessStdin"])],
        Error::StdinClosed(_) => [Error::StdinClosed(0) => At::Ids(&["writeProcessStdin"])],
        Error::Git(_) => [
            git(ErrorCode::GitAuthFailed) => GIT,
            git(ErrorCode::GitRepositoryNotFound) => GIT,
            git(ErrorCode::GitRefNotFound) => GIT,
            git(ErrorCode::GitNetworkError) => GIT,
            git(ErrorCode::GitError) => GIT,
            git(ErrorCode::GitTargetExists) => GIT,
            git(ErrorCode::NotSupported) => GIT,
            git(ErrorCode::ExecError) => GIT
        ],
        Error::Tunnel(_) => [Error::Tunnel(text()) => At::Ids(&["createTunnel"])],
        Error::InvalidToken => [Error::InvalidToken => At::Nowhere],
        Error::PortNotListening(_) => [Error::PortNotListening(0) => CONNECTS],
        Error::Port(_) => [Error::Port(text()) => CONNECTS],
        Error::Read(_) => [Error::Read(failed()) => FILE_READS],
        Error::Persist(_) => [Error::Persist(failed()) => PERSISTS],
        Error::Mount(_) => [Error::Mount(text()) => At::Ids(&["mountBucket"])],
        Error::Unmount(_) => [Error::Unmount(text()) => At::Ids(&["unmountBucket"])],
        Error::NotSupported(_) => [
            Error::NotSupported(text()) => MOUNTS,
            Error::NotSupported(text()) => At::Ids(&["createContext", "runCode"])
        ],
        Error::Write(_) => [
            Error::Write(failed()) => CHANGES,
            Error::Write(failed()) => At::Ids(&["restoreSnapshot"]),
            Error::Write(io::Error::from_raw_os_error(28)) => At::Ids(&["restoreSnapshot"]),
            Error::Write(io::ErrorKind::StorageFull.into()) => CHANGES,
            Error::Write(io::Error::from_raw_os_error(28)) => CHANGES
        ],
    }
}

const LIMIT: Limit = Limit { name: "", value: 0 };

fn text() -> String {
    String::new()
}

fn failed() -> io::Error {
    io::ErrorKind::Other.into()
}

fn git(code: ErrorCode) -> Error {
    Error::Git(ErrorBody::new(code, ""))
}

fn lost(code: ErrorCode) -> ApiError {
    ApiError::ConnectionLost(code, text())
}

fn name(code: ErrorCode) -> String {
    serde_json::to_value(code).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn every_operation_names_the_errors_that_the_code_can_produce_and_no_others() {
    let table = [errors_of_the_worker(), errors_of_sandboxd()].concat();
    for operation in operations() {
        let produced = table.iter().filter(|(_, _, at)| at.includes(&operation));
        let produced: BTreeSet<_> = produced.map(|(status, code, _)| (*status, name(*code))).collect();
        let described = operation.failures.iter();
        let described: BTreeSet<_> = described
            .map(|failure| (failure.status, failure.code_name()))
            .collect();
        let (missing, unfounded) = (&produced - &described, &described - &produced);
        assert!(
            missing.is_empty() && unfounded.is_empty(),
            "{}: {missing:?} are missing, {unfounded:?} cannot occur",
            operation.id
        );
    }
}

#[test]
fn every_code_can_occur_somewhere() {
    let document = document();
    let codes = document["components"]["schemas"]["ErrorCode"]["enum"]
        .as_array()
        .unwrap();
    let about = document["info"]["description"].as_str().unwrap();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for operation in operations() {
        let failures = operation.failures.iter().map(|failure| failure.code_name());
        let streamed = operation.answers.into_values().flat_map(|answer| answer.codes);
        for code in failures.chain(streamed) {
            *places.entry(code).or_default() += 1;
        }
    }
    for code in codes.iter().map(|code| code.as_str().unwrap()) {
        // No operation ends so: a path that is none, a method that it does not take, and a preview.
        let elsewhere = ["not_found", "method_not_allowed", "invalid_token"].contains(&code);
        assert_eq!(elsewhere, about.contains(&format!("`{code}`")), "{code}");
        assert_eq!(elsewhere, !places.contains_key(code), "{code}");
    }
}

#[test]
fn no_operation_names_an_error_twice() {
    for operation in operations() {
        for (i, failure) in operation.failures.iter().enumerate() {
            let twice = operation.failures[i + 1..].contains(failure);
            assert!(!twice, "{}: {failure:?}", operation.id);
        }
    }
}
