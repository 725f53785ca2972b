//! The errors of each operation, held against the two enums that make them: the Worker's and that
//! of `sandboxd`. An operation has the errors that are listed for it here, and no others; a variant
//! that is not listed does not compile.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use axum::http::StatusCode;
use sandbar::error::ApiError;
use sandbar_openapi::{Operation, document, operations};
use sandbox_protocol::limits::Limit;
use sandbox_protocol::{ErrorCode, Invalid, SessionId};
use sandboxd::Error;

/// The operations that an error can end.
#[derive(Debug, Clone, Copy)]
enum At {
    /// None: a path or a method that does not exist.
    Nowhere,
    /// All that take the key.
    Guarded,
    /// All on a sandbox.
    Sandbox,
    /// All that may start a sandbox.
    Starting,
    /// All that ask `sandboxd`.
    Asking,
    /// These.
    Ids(&'static [&'static str]),
}

/// Operations that the Sandbox object answers without sandboxd.
const OF_OBJECT: [&str; 2] = ["isSandboxRunning", "deleteSandbox"];
/// Operations that end something and start no sandbox.
const ENDING: [&str; 3] = ["deleteSession", "unmountBucket", "deleteTunnel"];
const READS: At = At::Ids(&["readFile", "headFile"]);
const FILES: At = At::Ids(&["readFile", "headFile", "writeFile"]);
const UPLOADS: At = At::Ids(&["writeFile", "hydrateWorkspace"]);
const PERSISTS: At = At::Ids(&["persistWorkspace", "downloadWorkspace"]);
const MOUNTS: At = At::Ids(&["mountBucket", "unmountBucket"]);
const PATHS: At = At::Ids(&[
    "execCommand",
    "createSession",
    "readFile",
    "headFile",
    "writeFile",
]);
const BODIES: At = At::Ids(&[
    "execCommand",
    "createSession",
    "mountBucket",
    "unmountBucket",
    "createTunnel",
    "writeFile",
    "hydrateWorkspace",
]);
const POOL: At = At::Ids(&["getPoolStats", "primePool", "shutdownPrewarmed"]);

impl At {
    fn includes(self, operation: &Operation) -> bool {
        let id = operation.id;
        let is_on_sandbox = operation.path.contains("{id}");
        match self {
            Self::Nowhere => false,
            Self::Guarded => operation.guarded,
            Self::Sandbox => is_on_sandbox,
            Self::Asking => is_on_sandbox && !OF_OBJECT.contains(&id),
            Self::Starting => Self::Asking.includes(operation) && !ENDING.contains(&id),
            Self::Ids(ids) => ids.contains(&id),
        }
    }
}

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
            Invalid::outside("").into() => PATHS
        ],
        ApiError::Unauthorized => [ApiError::Unauthorized => At::Guarded],
        ApiError::ForeignPage => [ApiError::ForeignPage => At::Guarded],
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
        ApiError::SessionNotFound(_) => [
            ApiError::SessionNotFound(SessionId::parse("s").unwrap()) => At::Ids(&["deleteSession"])
        ],
        ApiError::DefaultSession => [ApiError::DefaultSession => At::Ids(&["deleteSession"])],
        ApiError::NotSupported(_) => [ApiError::NotSupported(text()) => At::Ids(&["mountBucket"])],
        ApiError::Unavailable(_) => [
            ApiError::Unavailable(text()) => At::Sandbox,
            ApiError::Unavailable(text()) => POOL
        ],
        ApiError::ConnectionLost(..) => [
            lost(ErrorCode::ExecTransportError) => At::Ids(&["execCommand", "ptyTerminal"]),
            lost(ErrorCode::WorkspaceArchiveWriteError) => UPLOADS,
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
            Invalid::outside("").into() => PATHS
        ],
        // The Worker asks for nothing that is not there.
        Error::NoRoute(_) => [Error::NoRoute(text()) => At::Nowhere],
        Error::Method(_) => [Error::Method(text()) => At::Nowhere],
        Error::FileNotFound(_) => [Error::FileNotFound(text()) => READS],
        Error::IsDirectory(_) => [Error::IsDirectory(text()) => FILES],
        Error::Denied(_) => [Error::Denied(text()) => FILES],
        Error::TooLarge { .. } => [Error::TooLarge { limit: 0 } => BODIES],
        Error::Limit { .. } => [Error::Limit { what: "", limit: LIMIT } => At::Asking],
        Error::Late(_) => [Error::Late(LIMIT) => UPLOADS],
        Error::Unauthorized => [Error::Unauthorized => At::Asking],
        Error::Range { .. } => [Error::Range { size: 0 } => At::Ids(&["readFile"])],
        // An event of the stream.
        Error::Exec(_) => [Error::Exec(failed()) => At::Nowhere],
        Error::Session(_) => [Error::Session(text()) => At::Ids(&["createSession", "deleteSession"])],
        Error::SessionExists(_) => [Error::SessionExists(text()) => At::Ids(&["createSession"])],
        Error::SessionNotFound(_) => [Error::SessionNotFound(text()) => At::Ids(&["deleteSession"])],
        Error::Tunnel(_) => [Error::Tunnel(text()) => At::Ids(&["createTunnel"])],
        Error::Read(_) => [Error::Read(failed()) => READS],
        Error::Persist(_) => [Error::Persist(failed()) => PERSISTS],
        Error::Mount(_) => [Error::Mount(text()) => At::Ids(&["mountBucket"])],
        Error::Unmount(_) => [Error::Unmount(text()) => At::Ids(&["unmountBucket"])],
        Error::NotSupported(_) => [Error::NotSupported(text()) => MOUNTS],
        Error::Write(_) => [
            Error::Write(failed()) => UPLOADS,
            Error::Write(io::ErrorKind::StorageFull.into()) => UPLOADS,
            Error::Write(io::Error::from_raw_os_error(28)) => UPLOADS
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
        // No operation ends so: a path that is none, and a method that it does not take.
        let elsewhere = ["not_found", "method_not_allowed"].contains(&code);
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
