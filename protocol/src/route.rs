//! The table of routes: every operation of the API, once. The Worker's router with its 405s, the
//! pattern on its log lines, the OpenAPI document and the tests take them from here.

/// The method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names of HTTP")]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
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
    /// Clients that send the deployment's key.
    Key,
    /// The s3fs of a sandbox, by the token of a mount. It is not in the document.
    MountToken,
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
    /// Its path, with `{name}` for a parameter. The last parameter takes the rest of the path.
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
    GetOpenApiSchema  "getOpenApiSchema"  Get    "/v1/openapi.json"                  Key Nothing;
    OpenExplorer      "openExplorer"      Get    "/v1/openapi.html"                  Key Nothing;
    OpenExplorerShort "openExplorerShort" Get    "/v1/openapi"                       Key Nothing;
    GetPoolStats      "getPoolStats"      Get    "/v1/pool/stats"                    Key Nothing;
    PrimePool         "primePool"         Post   "/v1/pool/prime"                    Key Nothing;
    ShutdownPrewarmed "shutdownPrewarmed" Post   "/v1/pool/shutdown-prewarmed"       Key Nothing;
    CreateSandbox     "createSandbox"     Post   "/v1/sandbox"                       Key Nothing;
    DeleteSandbox     "deleteSandbox"     Delete "/v1/sandbox/{id}"                  Key Object;
    IsSandboxRunning  "isSandboxRunning"  Get    "/v1/sandbox/{id}/running"          Key Object;
    ExecCommand       "execCommand"       Post   "/v1/sandbox/{id}/exec"             Key Started;
    PtyTerminal       "ptyTerminal"       Get    "/v1/sandbox/{id}/pty"              Key Started;
    CreateSession     "createSession"     Post   "/v1/sandbox/{id}/session"          Key Started;
    DeleteSession     "deleteSession"     Delete "/v1/sandbox/{id}/session/{sid}"    Key Running;
    ReadFile          "readFile"          Get    "/v1/sandbox/{id}/file/{path}"      Key Started;
    HeadFile          "headFile"          Head   "/v1/sandbox/{id}/file/{path}"      Key Started;
    WriteFile         "writeFile"         Put    "/v1/sandbox/{id}/file/{path}"      Key Started;
    DownloadWorkspace "downloadWorkspace" Get    "/v1/sandbox/{id}/persist"          Key Started;
    PersistWorkspace  "persistWorkspace"  Post   "/v1/sandbox/{id}/persist"          Key Started;
    HydrateWorkspace  "hydrateWorkspace"  Post   "/v1/sandbox/{id}/hydrate"          Key Started;
    MountBucket       "mountBucket"       Post   "/v1/sandbox/{id}/mount"            Key Started;
    UnmountBucket     "unmountBucket"     Post   "/v1/sandbox/{id}/unmount"          Key Running;
    CreateTunnel      "createTunnel"      Post   "/v1/sandbox/{id}/tunnel/{port}"    Key Started;
    DeleteTunnel      "deleteTunnel"      Delete "/v1/sandbox/{id}/tunnel/{port}"    Key Running;
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

/// Finds a raw (percent-encoded) path without a query in the table.
pub fn find(path: &str) -> Option<Found<'_>> {
    let aliases = ALIASES.iter().map(|(alias, pattern)| (*alias, *pattern));
    let patterns = ROUTES.iter().map(|route| (route.pattern, route.pattern));
    aliases.chain(patterns).find_map(|(at, pattern)| {
        let parameters = parameters(at, path)?;
        Some(Found { pattern, parameters })
    })
}

/// The parameters of a path that has this pattern. An id is one segment, and so is every parameter
/// but the last.
fn parameters<'p>(mut pattern: &'static str, mut path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
    let mut parameters = Vec::new();
    while let Some((literal, rest)) = pattern.split_once('{') {
        let (name, rest) = rest.split_once('}')?;
        path = path.strip_prefix(literal)?;
        let end = match path.find('/') {
            Some(end) if !rest.is_empty() || name == "id" => end,
            _ => path.len(),
        };
        let (value, after) = path.split_at(end);
        parameters.push((name, value));
        (pattern, path) = (rest, after);
    }
    (pattern == path).then_some(parameters)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn found(path: &str) -> Option<(&'static str, Vec<&str>)> {
        let found = find(path)?;
        let values = found.parameters.iter().map(|(_, value)| *value);
        Some((found.pattern, values.collect()))
    }

    #[test]
    fn every_route_is_found_by_a_path_of_its_pattern() {
        for route in ROUTES {
            let path: String = route.pattern.split(['{', '}']).collect();
            let found = find(&path).unwrap();
            assert!(found.routes().any(|other| other == route), "{path}");
            for (name, value) in found.parameters {
                assert_eq!(name, value);
            }
        }
    }

    #[test]
    fn no_two_routes_have_an_id_or_a_method_of_a_pattern_in_common() {
        let ids: BTreeSet<_> = ROUTES.iter().map(|route| route.operation_id).collect();
        let paths: BTreeSet<_> = ROUTES.iter().map(|route| (route.pattern, route.method)).collect();
        assert_eq!((ids.len(), paths.len()), (ROUTES.len(), ROUTES.len()));
    }

    #[test]
    fn what_has_a_sandbox_in_its_path_needs_it() {
        for route in ROUTES {
            let has_id = route.pattern.starts_with("/v1/sandbox/{id}");
            assert_eq!(route.needs != Needs::Nothing, has_id, "{}", route.operation_id);
        }
    }

    #[test]
    fn the_last_parameter_takes_the_rest_and_an_id_one_segment() {
        for (path, expected) in [
            (
                "/v1/sandbox/a/file/b/c",
                Some(("/v1/sandbox/{id}/file/{path}", vec!["a", "b/c"])),
            ),
            (
                "/v1/sandbox/a/file",
                Some(("/v1/sandbox/{id}/file/{path}", vec!["a"])),
            ),
            (
                "/v1/sandbox/a/session/",
                Some(("/v1/sandbox/{id}/session", vec!["a"])),
            ),
            (
                "/v1/sandbox/a/session/b/c",
                Some(("/v1/sandbox/{id}/session/{sid}", vec!["a", "b/c"])),
            ),
            (
                "/v1/sandbox/a/tunnel/",
                Some(("/v1/sandbox/{id}/tunnel/{port}", vec!["a", ""])),
            ),
            ("/v1/sandbox/a", Some(("/v1/sandbox/{id}", vec!["a"]))),
            ("/v1/sandbox/", Some(("/v1/sandbox", vec![]))),
            // A client turns "session/.." into this, which must not destroy a sandbox.
            ("/v1/sandbox/a/", None),
            ("/v1/sandbox/a/tunnel", None),
            ("/v1/sandbox/a/exec/", None),
            ("/v1", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
    }
}
