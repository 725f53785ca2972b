//! Requests about processes that run or have run. None of them starts the sandbox: one that does
//! not run has no processes.

use std::rc::Rc;

use sandbox_protocol::process::{ProcessList, ProcessesEnded};
use sandbox_protocol::sandboxd;
use web_sys::{Request, Response};

use super::Core;
use crate::error::ApiError;
use crate::response;
use crate::url;

impl Core {
    /// Forwards a request about one process or all of them. Error: 404 for one process of a sandbox
    /// that does not run.
    pub async fn process(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let url = request.url();
        let forwarded = self.forward_if_running(url::path_and_query(&url), request);
        if let Some(response) = forwarded.await? {
            return Ok(response);
        }
        match sandboxd::process_id(url::path(&url)) {
            Some(id) => Err(ApiError::ProcessNotFound(id)),
            None if request.method() == "DELETE" => response::json(200, &ProcessesEnded { ended: 0 }),
            None => response::json(200, &ProcessList::default()),
        }
    }
}
