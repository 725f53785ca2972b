//! Requests that read or remove files and start no sandbox: one that does not run has no files.

use std::rc::Rc;

use sandbox_protocol::file::{
    ChangeStatus, Changes, DirectoryPage, ListingEnd, NDJSON, SearchEnd, SearchResult, accepts_ndjson,
};

use sandbox_protocol::{FilePath, sandboxd};
use serde::Serialize;
use web_sys::{Request, Response};

use super::Core;
use crate::error::ApiError;
use crate::response;
use crate::url;

impl Core {
    /// Forwards a request for files that exist. For a sandbox that does not run, a directory is
    /// empty. Error: 404 for anything else of such a sandbox.
    pub async fn existing_files(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let url = request.url();
        // A snapshot has them: it is restored first, or they would come back with the next start.
        if request.method() != "GET"
            && self
                .record()
                .await?
                .is_some_and(|record| record.snapshot_to_restore().is_some())
        {
            return self.forward(url::path_and_query(&url), request).await;
        }
        let forwarded = self.forward_if_running(url::path_and_query(&url), request);
        if let Some(response) = forwarded.await? {
            return Ok(response);
        }
        let at = url::path(&url);
        let accept = request.headers().get("accept")?.unwrap_or_default();
        let is_lines = accepts_ndjson(&accept);
        let path = |prefix: &str| -> Result<FilePath, ApiError> {
            let encoded = at.strip_prefix(prefix).unwrap_or_default();
            Ok(FilePath::from_url(encoded, &self.config.file_roots)?)
        };
        if at.starts_with(sandboxd::DIRECTORY) {
            if is_lines {
                return last_line(&ListingEnd::default());
            }
            return response::json(200, &DirectoryPage::empty(&path(sandboxd::DIRECTORY)?));
        }
        match at {
            sandboxd::SEARCH if is_lines => return last_line(&SearchEnd::default()),
            at if at.starts_with(sandboxd::CHANGES) => {
                return response::json(
                    200,
                    &Changes {
                        status: ChangeStatus::Resync,
                        version: "0".to_owned(),
                        paths: None,
                    },
                );
            }
            sandboxd::SEARCH => return response::json(200, &SearchResult::default()),
            _ => {}
        }
        let prefix = [sandboxd::STAT, sandboxd::WATCH, sandboxd::FILE]
            .into_iter()
            .find(|prefix| at.starts_with(prefix));
        Err(ApiError::FileNotFound(path(prefix.unwrap_or_default())?))
    }
}

/// NDJSON that is empty up to its last line.
fn last_line(end: &impl Serialize) -> Result<Response, ApiError> {
    let line = serde_json::to_string(end)?;
    response::text(NDJSON, &format!("{line}\n"))
}
