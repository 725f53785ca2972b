//! The index: which sandboxes there are, for `GET /v1/sandbox`, and how many may run.
//!
//! - It has `INDEX_SHARDS` objects, its shards. Each has the sandboxes whose ids have its number as
//!   their hash.
//! - Sandbox objects report when they are created with settings, change, start, stop, and are
//!   destroyed; never for any other request. A report that is lost is made again by the next one, or
//!   by the alarm of the Sandbox object, see `Core::update_index`.
//! - A report has the time of its change by the clock of the Sandbox object: an older one that
//!   arrives later changes nothing.
//! - A list asks all shards at once, and merges their answers: [`client`].

pub mod client;

mod object;
mod store;

use std::time::Duration;

use sandbox_protocol::IndexCall;
use sandbox_protocol::index::{PermitAnswer, PermitRelease, PermitRequest, SandboxReport};
use sandbox_protocol::sandbox::ListQuery;
use web_sys::{Request, Response};

use crate::clock::{millis, now_ms};
use crate::error::ApiError;
use crate::{response, stub, url};
use store::Store;

pub use object::SandboxIndex;

/// The time for which a sandbox that was destroyed is remembered: longer than any report of it is
/// under way.
const DESTROYED_RETENTION: Duration = Duration::from_secs(600);

/// A shard during a request.
struct Shard {
    store: Store,
}

impl Shard {
    async fn handle(&self, request: &Request) -> Result<Response, ApiError> {
        let url = request.url();
        match IndexCall::from_path(url::path(&url)) {
            Some(IndexCall::Report) => self.report(&stub::json_body(request).await?),
            Some(IndexCall::List) => {
                let query: ListQuery = stub::json_body(request).await?;
                response::json(200, &self.store.list(&query)?)
            }
            Some(IndexCall::Acquire) => {
                let request: PermitRequest = stub::json_body(request).await?;
                let granted = self.store.acquire(&request, now_ms())?;
                response::json(200, &PermitAnswer { granted })
            }
            Some(IndexCall::Release) => {
                let released: PermitRelease = stub::json_body(request).await?;
                self.store.release(&released.id)?;
                response::empty(204)
            }
            None => Err(ApiError::NotFound),
        }
    }

    fn report(&self, report: &SandboxReport) -> Result<Response, ApiError> {
        if self.store.report(report)? && report.listed.is_none() {
            let before = now_ms().saturating_sub(millis(DESTROYED_RETENTION));
            self.store.forget_destroyed_before(before)?;
        }
        response::empty(204)
    }
}
