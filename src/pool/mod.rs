//! The WarmPool object, of which there is one. It starts sandboxes in advance, under ids of its
//! own, and hands the ids out.
//!
//! - It is called by `POST /v1/sandbox` and by the scheduler, never on the path of an exec or a
//!   file. Sandbox objects report their starts and stops, in the background.
//! - All its state is in its storage: an object that is evicted or reset at any point continues
//!   with the next alarm.
//! - Only the alarm starts and stops sandboxes: the platform runs one alarm at a time, so there is
//!   one refill at a time. Calls that need a refill set the alarm. (Only
//!   [`PoolCall::ShutdownPrewarmed`] stops some itself, because its caller waits for that.)
//! - No id is handed out twice: the statement that finds it also marks it as assigned.

pub mod client;
pub mod plan;

mod object;
mod refill;
mod row;
mod state;
mod stats;
mod store;

use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::SandboxId;
use sandbox_protocol::pool::{KeepAnswer, KeepQuestion, PoolCall, Report, Taken};
use web_sys::{Request, Response};
use worker::{Env, Storage};

use crate::clock::{millis, now_ms};
use crate::config::Config;
use crate::error::ApiError;
use crate::{response, stub, url};
use plan::{PlanInput, StartHistory};
use state::State as SandboxState;
use store::Store;

pub use object::WarmPool;

/// The pool during a request or an alarm.
struct Pool {
    env: Env,
    config: Rc<Config>,
    storage: Storage,
    store: Store,
}

impl Pool {
    async fn handle(&self, request: &Request) -> Result<Response, ApiError> {
        let url = request.url();
        match PoolCall::from_path(url::path(&url)) {
            Some(PoolCall::Take) => self.take().await,
            Some(PoolCall::Report) => self.report(&stub::json_body(request).await?),
            Some(PoolCall::Keep) => self.keep(&stub::json_body(request).await?),
            Some(PoolCall::Stats) => self.stats(),
            Some(PoolCall::Prime) => {
                self.set_alarm(Duration::ZERO).await?;
                response::empty(204)
            }
            Some(PoolCall::ShutdownPrewarmed) => self.shutdown_prewarmed().await,
            None => Err(ApiError::NotFound),
        }
    }

    async fn take(&self) -> Result<Response, ApiError> {
        let id = self.store.take(now_ms())?;
        if self.known()?.plan().start > 0 {
            self.set_alarm(Duration::ZERO).await?;
        }
        let id = id.map(|id| id.to_string());
        response::json(200, &Taken { id })
    }

    fn report(&self, report: &Report) -> Result<Response, ApiError> {
        let now_ms = now_ms();
        let id = SandboxId::parse(&report.id)?;
        let change = self.store.report(&id, report.event, report.at_ms, now_ms)?;
        if let Some((Some(SandboxState::Ready), SandboxState::Stopped)) = change {
            let history = StartHistory {
                failed_at_ms: Some(now_ms),
                ..self.store.history()?
            };
            self.store.remember(history)?;
        }
        response::empty(204)
    }

    fn keep(&self, question: &KeepQuestion) -> Result<Response, ApiError> {
        let now_ms = now_ms();
        let id = SandboxId::parse(&question.id)?;
        let keep = match self.store.state(&id)? {
            Some((SandboxState::Starting | SandboxState::Ready, _)) => true,
            // Its idle time includes the time before it was handed out: its client has the usual
            // time for the first use.
            Some((SandboxState::Assigned, since_ms)) => self
                .config
                .sleep_after
                .is_some_and(|after| now_ms.saturating_sub(since_ms) < millis(after)),
            Some((SandboxState::Stopping | SandboxState::Stopped, _)) | None => false,
        };
        self.store.seen(&id, now_ms)?;
        response::json(200, &KeepAnswer { keep })
    }

    async fn shutdown_prewarmed(&self) -> Result<Response, ApiError> {
        self.store.mark_all(now_ms())?;
        // Not at once: an operator who stops the warm ones expects to see none for a while.
        self.set_alarm(self.config.pool.refresh_interval).await?;
        self.stop_marked().await?;
        response::empty(204)
    }

    fn known(&self) -> Result<PlanInput, ApiError> {
        let config = &self.config.pool;
        Ok(PlanInput {
            now_ms: now_ms(),
            target: config.target,
            batch: config.batch,
            interval_ms: millis(config.refresh_interval),
            max_instances: config.max_instances,
            counts: self.store.counts()?,
            history: self.store.history()?,
        })
    }

    /// Sets the alarm.
    async fn set_alarm(&self, after: Duration) -> Result<(), ApiError> {
        // An alarm that an alarm sets for now is lost.
        let after = after.max(Duration::from_millis(1));
        Ok(self.storage.set_alarm(after).await?)
    }
}
