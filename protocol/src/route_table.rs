//! The table of routes: every operation of the API, once. The Worker's router with its 405s, the
//! pattern on its log lines, the OpenAPI document and the tests take them from here.

use crate::token::Scope;

/// The method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names of HTTP")]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Patch,
    Delete,
    /// Every method: the operation itself tells them apart.
    Any,
}

impl Method {
    /// The method as it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Any => "*",
        }
    }

    /// Whether a request with this method is accepted.
    pub fn takes(self, method: &str) -> bool {
        self == Self::Any || self.as_str() == method
    }
}

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Clients that send a key of the deployment.
    Key,
    /// Also clients with a token, whatever its scopes are.
    Token,
    /// Also clients with a token for all sandboxes, whatever its scopes are.
    TokenForAll,
    /// Also clients with a token of the scope `exec`.
    Exec,
    /// Also clients with a token of the scope `files:read`.
    FilesRead,
    /// Also clients with a token of the scope `files:write`.
    FilesWrite,
    /// Also clients with a token of the scope `ports`.
    Ports,
    /// Also clients with a token of the scope `manage`.
    Manage,
    /// The s3fs of a sandbox, by the token of a mount. It is not in the document.
    MountToken,
}

impl Access {
    /// Whether a client needs a key or a token.
    pub fn is_guarded(self) -> bool {
        !matches!(self, Self::Open | Self::MountToken)
    }

    /// The scope that suffices, if there is one.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Exec => Some(Scope::Exec),
            Self::FilesRead => Some(Scope::FilesRead),
            Self::FilesWrite => Some(Scope::FilesWrite),
            Self::Ports => Some(Scope::Ports),
            Self::Manage => Some(Scope::Manage),
            Self::Open | Self::Key | Self::Token | Self::TokenForAll | Self::MountToken => None,
        }
    }
}

/// The part of a sandbox that an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// There is no sandbox in its path.
    Nothing,
    /// The Sandbox object alone.
    Object,
    /// The sandbox if it runs; starts nothing.
    Running,
    /// The sandbox, which is started if it does not run.
    Started,
    /// The needs of the operations that it calls in its turn.
    Others,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The operation.
    pub operation: Operation,
    /// Its `operationId` in the OpenAPI document, and so its name in generated clients.
    pub operation_id: &'static str,
    /// Its method.
    pub method: Method,
    /// Its path, with `{name}` for a parameter. A last parameter that is no id takes the rest of the
    /// path.
    pub pattern: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The part of the sandbox that it needs.
    pub needs: Needs,
}

macro_rules! routes {
    ($($operation:ident $id:literal $method:ident $pattern:literal $access:ident $needs:ident;)*) => {
        /// The operations of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "they are described in the OpenAPI document, by their ids")]
        pub enum Operation {
            $($operation,)*
        }

        impl Operation {
            /// Its line of the table.
            pub const fn route(self) -> Route {
                match self {
                    $(Self::$operation => Route {
                        operation: self,
                        operation_id: $id,
                        method: Method::$method,
                        pattern: $pattern,
                        access: Access::$access,
                        needs: Needs::$needs,
                    },)*
                }
            }
        }

        /// The table. A pattern that ends in a parameter comes after those that it would hide.
        pub const ROUTES: &[Route] = &[$(Operation::$operation.route(),)*];
    };
}

routes! {
    HealthCheck       "healthCheck"       Get    "/health"                           Open Nothing;
    HeadHealth        "headHealth"        Head   "/health"                           Open Nothing;
    ExplorerFile      "getExplorerFile"   Get    "/explorer/{file}"                  Open Nothing;
    GetOpenApiSchema  "getOpenApiSchema"  Get    "/v1/openapi.json"                  Token Nothing;
    OpenExplorer      "openExplorer"      Get    "/v1/openapi.html"                  Token Nothing;
    OpenExplorerShort "openExplorerShort" Get    "/v1/openapi"                       Token Nothing;
    GetPoolStats      "getPoolStats"      Get    "/v1/pool/stats"                    Manage Nothing;
    PrimePool         "primePool"         Post   "/v1/pool/prime"                    Manage Nothing;
    ShutdownPrewarmed "shutdownPrewarmed" Post   "/v1/pool/shutdown-prewarmed"       Manage Nothing;
    CreateSandbox     "createSandbox"     Post   "/v1/sandbox"                       Manage Nothing;
    ListSandboxes     "listSandboxes"     Get    "/v1/sandbox"                       Manage Nothing;
    GetSandbox        "getSandbox"        Get    "/v1/sandbox/{id}"                  Token Object;
    UpdateSandbox     "updateSandbox"     Patch  "/v1/sandbox/{id}"                  Manage Object;
    DeleteSandbox     "deleteSandbox"     Delete "/v1/sandbox/{id}"                  Manage Object;
    IsSandboxRunning  "isSandboxRunning"  Get    "/v1/sandbox/{id}/running"          Token Object;
    StopSandbox       "stopSandbox"       Post   "/v1/sandbox/{id}/stop"             Manage Object;
    StartSandbox      "startSandbox"      Post   "/v1/sandbox/{id}/start"            Manage Started;
    ExecCommand       "execCommand"       Post   "/v1/sandbox/{id}/exec"             Exec Started;
    StartProcess      "startProcess"      Post   "/v1/sandbox/{id}/process"          Exec Started;
    ListProcesses     "listProcesses"     Get    "/v1/sandbox/{id}/process"          Exec Running;
    EndProcesses      "endProcesses"      Delete "/v1/sandbox/{id}/process"          Exec Running;
    GetProcess        "getProcess"        Get    "/v1/sandbox/{id}/process/{pid}"    Exec Running;
    EndProcess        "endProcess"        Delete "/v1/sandbox/{id}/process/{pid}"    Exec Running;
    GetProcessLog     "getProcessLog"     Get    "/v1/sandbox/{id}/process/{pid}/log" Exec Running;
    WriteProcessStdin "writeProcessStdin" Post   "/v1/sandbox/{id}/process/{pid}/stdin" Exec Running;
    AttachProcess     "attachProcess"     Get    "/v1/sandbox/{id}/process/{pid}/attach" Exec Running;
    SignalProcess     "signalProcess"     Post   "/v1/sandbox/{id}/process/{pid}/signal" Exec Running;
    WaitForProcess    "waitForProcess"    Post   "/v1/sandbox/{id}/process/{pid}/wait" Exec Running;
    CreateContext     "createContext"     Post   "/v1/sandbox/{id}/context"          Exec Started;
    ListContexts      "listContexts"      Get    "/v1/sandbox/{id}/context"          Exec Running;
    DeleteContext     "deleteContext"     Delete "/v1/sandbox/{id}/context/{cid}"    Exec Running;
    InterruptContext  "interruptContext"  Post   "/v1/sandbox/{id}/context/{cid}/interrupt" Exec Running;
    RestartContext    "restartContext"    Post   "/v1/sandbox/{id}/context/{cid}/restart" Exec Running;
    GetContextOutput  "getContextOutput"  Get    "/v1/sandbox/{id}/context/{cid}/output/{n}/{mime}" Exec Running;
    RunCode           "runCode"           Post   "/v1/sandbox/{id}/run-code"         Exec Started;
    ListLanguages     "listLanguages"     Get    "/v1/sandbox/{id}/language"         Exec Running;
    PtyTerminal       "ptyTerminal"       Get    "/v1/sandbox/{id}/pty"              Exec Started;
    CreateSession     "createSession"     Post   "/v1/sandbox/{id}/session"          Exec Started;
    DeleteSession     "deleteSession"     Delete "/v1/sandbox/{id}/session/{sid}"    Exec Running;
    ReadFile          "readFile"          Get    "/v1/sandbox/{id}/file/{path}"      FilesRead Started;
    HeadFile          "headFile"          Head   "/v1/sandbox/{id}/file/{path}"      FilesRead Started;
    WriteFile         "writeFile"         Put    "/v1/sandbox/{id}/file/{path}"      FilesWrite Started;
    DeleteFile        "deleteFile"        Delete "/v1/sandbox/{id}/file/{path}"      FilesWrite Running;
    SetFileAttributes "setFileAttributes" Patch  "/v1/sandbox/{id}/file/{path}"      FilesWrite Started;
    ListDirectory     "listDirectory"     Get    "/v1/sandbox/{id}/directory/{path}" FilesRead Running;
    CreateDirectory   "createDirectory"   Put    "/v1/sandbox/{id}/directory/{path}" FilesWrite Started;
    StatFile          "statFile"          Get    "/v1/sandbox/{id}/stat/{path}"      FilesRead Running;
    MoveFile          "moveFile"          Post   "/v1/sandbox/{id}/move"             FilesWrite Started;
    CopyFile          "copyFile"          Post   "/v1/sandbox/{id}/copy"             FilesWrite Started;
    EditFiles         "editFiles"         Post   "/v1/sandbox/{id}/edit"             FilesWrite Started;
    SearchFiles       "searchFiles"       Post   "/v1/sandbox/{id}/search"           FilesRead Running;
    WatchFiles        "watchFiles"        Get    "/v1/sandbox/{id}/watch/{path}"     FilesRead Running;
    GetChanges        "getChanges"        Get    "/v1/sandbox/{id}/changes/{path}"   FilesRead Running;
    DownloadWorkspace "downloadWorkspace" Get    "/v1/sandbox/{id}/persist"          FilesRead Started;
    PersistWorkspace  "persistWorkspace"  Post   "/v1/sandbox/{id}/persist"          FilesRead Started;
    HydrateWorkspace  "hydrateWorkspace"  Post   "/v1/sandbox/{id}/hydrate"          FilesWrite Started;
    GitCheckout       "gitCheckout"       Post   "/v1/sandbox/{id}/git/checkout"     Exec Started;
    MountBucket       "mountBucket"       Post   "/v1/sandbox/{id}/mount"            Manage Started;
    UnmountBucket     "unmountBucket"     Post   "/v1/sandbox/{id}/unmount"          Manage Running;
    CreateTunnel      "createTunnel"      Post   "/v1/sandbox/{id}/tunnel/{port}"    Ports Started;
    DeleteTunnel      "deleteTunnel"      Delete "/v1/sandbox/{id}/tunnel/{port}"    Ports Running;
    ListPorts         "listPorts"         Get    "/v1/sandbox/{id}/port"             Ports Running;
    WaitForPort       "waitForPort"       Post   "/v1/sandbox/{id}/port/{port}/wait" Ports Running;
    ProxyPort         "proxyPort"         Any    "/v1/sandbox/{id}/port/{port}/{path}" Ports Running;
    ExposePort        "exposePort"        Put    "/v1/sandbox/{id}/port/{port}"      Ports Object;
    UnexposePort      "unexposePort"      Delete "/v1/sandbox/{id}/port/{port}"      Ports Object;
    ConnectTcp        "connectTcp"        Get    "/v1/sandbox/{id}/tcp/{port}"       Ports Running;
    CallMcp           "callMcp"           Post   "/v1/mcp"                           TokenForAll Nothing;
    CallSandboxMcp    "callSandboxMcp"    Post   "/v1/sandbox/{id}/mcp"              Token Others;
    CreateToken       "createToken"       Post   "/v1/token"                         Key Nothing;
    ListSnapshots     "listSnapshots"     Get    "/v1/snapshot"                      Manage Nothing;
    GetSnapshot       "getSnapshot"       Get    "/v1/snapshot/{snapshot}"           Manage Nothing;
    DeleteSnapshot    "deleteSnapshot"    Delete "/v1/snapshot/{snapshot}"           Manage Nothing;
    CreateSnapshot    "createSnapshot"    Post   "/v1/sandbox/{id}/snapshot"         Manage Started;
    RestoreSnapshot   "restoreSnapshot"   Post   "/v1/sandbox/{id}/restore"          Manage Started;
    ForkSandbox       "forkSandbox"       Post   "/v1/sandbox/{id}/fork"             Manage Running;
    MountS3           "mountS3"           Any    "/v1/sandbox/{id}/s3/{path}"        MountToken Running;
}

/// Further paths of an operation, each with the pattern that it stands for.
const ALIASES: &[(&str, &str)] = &[
    ("/v1/sandbox/", "/v1/sandbox"),
    ("/v1/sandbox/{id}/session/", "/v1/sandbox/{id}/session"),
    ("/v1/sandbox/{id}/file", "/v1/sandbox/{id}/file/{path}"),
    ("/v1/sandbox/{id}/s3", "/v1/sandbox/{id}/s3/{path}"),
];

/// The prefix of every path of a sandbox, before its id.
pub const SANDBOX: &str = "/v1/sandbox/";

/// The routes of one path. They have the same pattern, and differ by method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'p> {
    /// Their pattern.
    pub pattern: &'static str,
    /// The parameters of the path, still percent-encoded, by their names.
    pub parameters: Vec<(&'static str, &'p str)>,
}

impl Found<'_> {
    /// The routes, in the order of the table.
    pub fn routes(&self) -> impl Iterator<Item = &'static Route> {
        let pattern = self.pattern;
        ROUTES.iter().filter(move |route| route.pattern == pattern)
    }
}

/// Finds a raw (percent-encoded) path without a query in the table: the first pattern that it has
/// and that takes the method, or else the first that it has.
pub fn find<'p>(method: &str, path: &'p str) -> Option<Found<'p>> {
    let takes = |found: &Found<'_>| found.routes().any(|route| route.method.takes(method));
    found(path).find(takes).or_else(|| found(path).next())
}

/// The patterns of a path, in the order of the table.
fn found(path: &str) -> impl Iterator<Item = Found<'_>> {
    let aliases = ALIASES.iter().map(|(alias, pattern)| (*alias, *pattern));
    let patterns = ROUTES.iter().map(|route| (route.pattern, route.pattern));
    aliases.chain(patterns).filter_map(move |(at, pattern)| {
        let parameters = parameters(at, path)?;
        Some(Found { pattern, parameters })
    })
}

/// The parameters of one segment, wherever they stand.
const IDS: [&str; 3] = ["id", "pid", "cid"];

/// The parameters of a path that has this pattern. An id is one segment, and so is every parameter
/// but the last.
fn parameters<'p>(mut pattern: &'static str, mut path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
    let mut parameters = Vec::new();
    while let Some((literal, rest)) = pattern.split_once('{') {
        let (name, rest) = rest.split_once('}')?;
        path = path.strip_prefix(literal)?;
        let end = match path.find('/') {
            Some(end) if !rest.is_empty() || IDS.contains(&name) => end,
            _ => path.len(),
        };
        let (value, after) = path.split_at(end);
        parameters.push((name, value));
        (pattern, path) = (rest, after);
    }
    (pattern == path).then_some(parameters)
}

#[cfg(test)]
mod tests;
