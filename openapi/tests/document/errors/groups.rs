//! Groups of operations, which have errors in common.

use sandbar_openapi::Operation;

/// The operations that an error can end.
#[derive(Debug, Clone, Copy)]
pub enum At {
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
pub const OF_OBJECT: [&str; 7] = [
    "exposePort",
    "unexposePort",
    "isSandboxRunning",
    "getSandbox",
    "updateSandbox",
    "stopSandbox",
    "deleteSandbox",
];
/// Operations that end or read something and start no sandbox.
pub const OF_RUNNING: [&str; 29] = [
    "forkSandbox",
    "listContexts",
    "deleteContext",
    "interruptContext",
    "restartContext",
    "getContextOutput",
    "listLanguages",
    "listPorts",
    "waitForPort",
    "proxyPort",
    "connectTcp",
    "watchFiles",
    "getChanges",
    "searchFiles",
    "deleteFile",
    "listDirectory",
    "statFile",
    "deleteSession",
    "unmountBucket",
    "deleteTunnel",
    "listProcesses",
    "endProcesses",
    "getProcess",
    "endProcess",
    "getProcessLog",
    "writeProcessStdin",
    "attachProcess",
    "signalProcess",
    "waitForProcess",
];
pub const OF_CONTEXT: At = At::Ids(&[
    "deleteContext",
    "interruptContext",
    "restartContext",
    "getContextOutput",
]);
pub const RUN_CODE: At = At::Ids(&["runCode"]);
pub const OF_PROCESS: At = At::Ids(&[
    "getProcess",
    "endProcess",
    "getProcessLog",
    "writeProcessStdin",
    "attachProcess",
    "signalProcess",
    "waitForProcess",
]);
/// Operations that run a command, or have an effect on one.
pub const COMMANDS: At = At::Ids(&[
    "execCommand",
    "gitCheckout",
    "createContext",
    "deleteContext",
    "interruptContext",
    "restartContext",
    "runCode",
    "ptyTerminal",
    "startProcess",
    "endProcesses",
    "endProcess",
    "writeProcessStdin",
    "attachProcess",
    "signalProcess",
    "waitForProcess",
]);
/// Operations that connect to a server of the sandbox.
pub const CONNECTS: At = At::Ids(&["proxyPort", "connectTcp"]);
pub const READS: At = At::Ids(&["readFile", "headFile"]);
pub const FILES: At = At::Ids(&[
    "readFile",
    "headFile",
    "writeFile",
    "deleteFile",
    "setFileAttributes",
    "listDirectory",
    "createDirectory",
    "statFile",
    "moveFile",
    "copyFile",
    "editFiles",
    "searchFiles",
    "watchFiles",
    "getChanges",
    "persistWorkspace",
    "downloadWorkspace",
    "hydrateWorkspace",
]);
/// Operations on what exists.
pub const EXISTING: At = At::Ids(&[
    "deleteFile",
    "setFileAttributes",
    "listDirectory",
    "statFile",
    "moveFile",
    "copyFile",
    "editFiles",
    "searchFiles",
    "watchFiles",
    "getChanges",
    "persistWorkspace",
    "downloadWorkspace",
]);
pub const FILE_READS: At = At::Ids(&[
    "readFile",
    "headFile",
    "listDirectory",
    "statFile",
    "moveFile",
    "copyFile",
    "editFiles",
    "searchFiles",
    "watchFiles",
    "getChanges",
]);
pub const UPLOADS: At = At::Ids(&["writeFile", "hydrateWorkspace"]);
pub const CHANGES: At = At::Ids(&[
    "writeFile",
    "hydrateWorkspace",
    "deleteFile",
    "setFileAttributes",
    "createDirectory",
    "moveFile",
    "copyFile",
    "editFiles",
]);
pub const PERSISTS: At = At::Ids(&["persistWorkspace", "downloadWorkspace"]);
pub const MOUNTS: At = At::Ids(&["mountBucket", "unmountBucket"]);
/// Operations that take another path than [`FILES`]: a working directory or a target.
pub const DIRECTORIES: At = At::Ids(&[
    "createSnapshot",
    "restoreSnapshot",
    "execCommand",
    "gitCheckout",
    "startProcess",
    "createSession",
    "createContext",
    "runCode",
]);
pub const BODIES: At = At::Ids(&[
    "createSnapshot",
    "restoreSnapshot",
    "forkSandbox",
    "createContext",
    "runCode",
    "execCommand",
    "gitCheckout",
    "startProcess",
    "writeProcessStdin",
    "signalProcess",
    "waitForProcess",
    "waitForPort",
    "exposePort",
    "createSession",
    "mountBucket",
    "unmountBucket",
    "createTunnel",
    "createToken",
    "callMcp",
    "callSandboxMcp",
    "createSandbox",
    "updateSandbox",
    "setFileAttributes",
    "moveFile",
    "copyFile",
    "writeFile",
    "hydrateWorkspace",
    "editFiles",
    "searchFiles",
]);
/// Operations on snapshots without a sandbox.
pub const SNAPSHOTS: At = At::Ids(&["listSnapshots", "getSnapshot", "deleteSnapshot"]);
/// Operations that need the store of snapshots, always or with some settings.
pub const STORES: At = At::Ids(&[
    "listSnapshots",
    "getSnapshot",
    "deleteSnapshot",
    "createSnapshot",
    "restoreSnapshot",
    "forkSandbox",
    "createSandbox",
    "updateSandbox",
    "deleteSandbox",
]);
pub const GIT: At = At::Ids(&["gitCheckout"]);
pub const POOL: At = At::Ids(&["getPoolStats", "primePool", "shutdownPrewarmed"]);

impl At {
    /// Whether it is one of these.
    pub fn includes(self, operation: &Operation) -> bool {
        let id = operation.id;
        // The errors of a tool are in its result.
        let is_on_sandbox = operation.path.contains("{id}") && id != "callSandboxMcp";
        match self {
            Self::Nowhere => false,
            Self::Guarded => operation.guarded,
            Self::Sandbox => is_on_sandbox,
            Self::Asking => is_on_sandbox && !OF_OBJECT.contains(&id),
            Self::Starting => Self::Asking.includes(operation) && !OF_RUNNING.contains(&id),
            Self::Ids(ids) => ids.contains(&id),
        }
    }
}
