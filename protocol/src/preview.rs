//! Previews: ports of a sandbox at addresses of their own, `{port}-{id}-{token}.PREVIEW_HOST`.
//!
//! A token has an id and a MAC, `{token id}-{MAC}`. The Worker computes the MAC from port, sandbox
//! and token id, so it refuses an invented address without asking any object. The Sandbox object
//! stores the token id of each exposed port, so it knows whether an address is still valid.

use crate::ServerPort;

mod domain;
mod expose;
mod label;
mod visit;

pub use domain::PreviewDomain;
pub use expose::{
    ExposeRequest, ExposedPort, Exposure, MAX_BODY, MAX_EXPOSURES, PUBLIC_TOKEN_ID, PortAccess, SandboxPorts,
};
pub use label::{MAC_LEN, MAX_LABEL, PreviewLabel, RANDOM_ID_LEN, mac, random_token_id};
pub use visit::{VALIDITY_HEADER, VISITS, Validity, visits_url};

/// The path on a Sandbox object of exposed ports: `GET` of [`SandboxPorts`] on it; `PUT` of an
/// [`ExposeRequest`] and `DELETE` on `{EXPOSURE}{port}`.
pub const EXPOSURE: &str = "/exposure/";

/// The path on a Sandbox object of visits: any request on `{VISIT}{port}/{token id}`, for the server
/// on that port. It has [`crate::sandboxd::TARGET_HEADER`].
pub const VISIT: &str = "/visit/";

/// The path of an exposed port on its Sandbox object.
pub fn exposure_url(port: ServerPort) -> String {
    format!("{EXPOSURE}{port}")
}

/// The port in a path that [`exposure_url`] wrote.
pub fn exposed_port(path: &str) -> Option<ServerPort> {
    ServerPort::parse(path.strip_prefix(EXPOSURE)?).ok()
}

/// The path of a visit on a Sandbox object.
pub fn visit_url(port: ServerPort, token_id: &str) -> String {
    format!("{VISIT}{port}/{token_id}")
}

/// Port and token id in a path that [`visit_url`] wrote.
pub fn visited(path: &str) -> Option<(ServerPort, &str)> {
    let (port, token_id) = path.strip_prefix(VISIT)?.split_once('/')?;
    Some((ServerPort::parse(port).ok()?, token_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_object_read_back() {
        let port = ServerPort::parse("80").unwrap();
        assert_eq!(exposed_port(&exposure_url(port)), Some(port));
        assert_eq!(visited(&visit_url(port, "abc")), Some((port, "abc")));
        for path in ["/exposure/", "/exposure/x", "/visit/80", "/proxy/80", "/"] {
            assert_eq!((exposed_port(path), visited(path)), (None, None), "{path}");
        }
    }
}
