//! Requests to the servers of a sandbox, and waits for them. None of them starts the sandbox: one
//! that does not run has no servers. Only a visit may, if the exposure of its port says so.

use std::rc::Rc;

use sandbox_protocol::{preview, sandboxd};
use web_sys::{Request, Response};

use super::Core;
use crate::error::ApiError;
use crate::response;
use crate::url;

impl Core {
    /// Forwards a request to a port, or a wait. Error: 503 `sandbox_not_running`.
    pub async fn port(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let url = request.url();
        let result = match preview::visited(url::path(&url)) {
            Some((port, token_id)) => self.visit(port, token_id, request).await,
            None => {
                let forwarded = self.forward_if_running(url::path_and_query(&url), request);
                forwarded
                    .await
                    .and_then(|response| response.ok_or_else(|| ApiError::NotRunning(self.id.clone())))
            }
        };
        match result {
            Err(e) if sandboxd::is_of_server(url::path(&url)) => response::error_beside_server(&e),
            result => result,
        }
    }
}
