//! Requests about contexts that exist. None of them starts the sandbox: one that does not run has no
//! contexts.

use std::rc::Rc;

use sandbox_protocol::code::{ContextList, LanguageList};
use sandbox_protocol::sandboxd;
use web_sys::{Request, Response};

use super::Core;
use crate::error::ApiError;
use crate::response;
use crate::url;

impl Core {
    /// Forwards a request about one context or all of them, or about the languages. Error: 404 for one
    /// context of a sandbox that does not run.
    pub async fn code(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let url = request.url();
        let forwarded = self.forward_if_running(url::path_and_query(&url), request);
        if let Some(response) = forwarded.await? {
            return Ok(response);
        }
        match sandboxd::context_id(url::path(&url)) {
            Some(id) => Err(ApiError::ContextNotFound(id)),
            None if url::path(&url) == sandboxd::LANGUAGE => response::json(200, &LanguageList::default()),
            None => response::json(200, &ContextList::default()),
        }
    }
}
