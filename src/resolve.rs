//! Method and path → a route of the table (`sandbox_protocol::route`).

use sandbox_protocol::route_table::{self, Access, Operation, Route, SANDBOX};
use sandbox_protocol::{Invalid, SandboxId};

use crate::error::ApiError;

/// The route of a request. The checks have this order: the id's form (the error of [`resolve`]),
/// the access, the route.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved<'p> {
    /// The pattern of the path, without the client's values; for the log.
    pub pattern: &'static str,
    /// The sandbox that the path names.
    pub sandbox: Option<SandboxId>,
    /// Who may call it. Unknown paths below `/v1` require the key, too.
    pub access: Access,
    /// The operation, or the error that the request gets instead.
    pub operation: Result<Operation, ApiError>,
    /// The parameters of the path, still percent-encoded, by their names.
    parameters: Vec<(&'static str, &'p str)>,
}

impl<'p> Resolved<'p> {
    /// The sandbox that the path names. Error: 500, because only an operation on a sandbox asks for
    /// it.
    pub fn id(&self) -> Result<&SandboxId, ApiError> {
        let id = self.sandbox.as_ref();
        id.ok_or_else(|| ApiError::Internal(format!("{} names no sandbox", self.pattern)))
    }

    /// A parameter of the path; empty where the path ends before it.
    pub fn parameter(&self, name: &str) -> &'p str {
        let parameter = self.parameters.iter().find(|(other, _)| *other == name);
        parameter.map_or("", |(_, value)| value)
    }
}

/// Resolves a request by its method and its raw (percent-encoded) path, without the query.
pub fn resolve<'p>(method: &str, path: &'p str) -> Result<Resolved<'p>, Invalid> {
    let named = path.strip_prefix(SANDBOX).and_then(|rest| rest.split('/').next());
    // `/v1/sandbox/` alone names none.
    let named = named.filter(|_| path != SANDBOX);
    let sandbox = named.map(SandboxId::parse).transpose()?;
    let Some(found) = route_table::find(method, path) else {
        let (pattern, access) = match sandbox {
            Some(_) => ("/v1/sandbox/{id}/unknown", Access::Token),
            None if path.starts_with("/v1/") => ("unknown", Access::Token),
            None => ("unknown", Access::Open),
        };
        return Ok(Resolved {
            pattern,
            sandbox,
            access,
            operation: Err(ApiError::NotFound),
            parameters: Vec::new(),
        });
    };
    let route = found.routes().find(|route| route.method.takes(method));
    // A method that the path does not have is refused with the access of another one.
    let known = route.or_else(|| found.routes().next());
    let access = known.map_or(Access::Token, |route| route.access);
    Ok(Resolved {
        pattern: found.pattern,
        sandbox,
        access,
        operation: match route {
            Some(route) => Ok(route.operation),
            None => Err(ApiError::MethodNotAllowed(allowed(found.routes()))),
        },
        parameters: found.parameters,
    })
}

/// The methods of these routes, in the form of the header `Allow`.
fn allowed(routes: impl Iterator<Item = &'static Route>) -> String {
    let methods: Vec<&str> = routes.map(|route| route.method.as_str()).collect();
    methods.join(", ")
}

#[cfg(test)]
mod tests;
