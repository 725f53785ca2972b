//! The WarmPool object: there is one. It keeps sandboxes started under ids of its own and hands the ids out.
//!
//! - It is asked by `POST /v1/sandbox` and by the scheduler, never on the path of an exec or a file. Sandbox objects tell
//!   it when they start and stop, in the background.
//! - Everything it knows is in its storage: an object that is evicted or reset in the middle of anything goes on where it
//!   was with the next alarm.
//! - Sandboxes are started and stopped by the alarm, and only there: the platform runs one alarm at a time, so there
//!   is one refill at a time. Whoever wants one sets the alarm. ([`PoolCall::ShutdownPrewarmed`] alone stops some itself,
//!   since its caller waits for that.)
//! - No id is handed out twice: it leaves the ready ones in the same statement that finds it.
#![allow(missing_docs, reason = "the durable_object macro makes methods without docs")]

pub mod client;
pub mod config;
pub mod plan;

mod refill;
mod row;
mod state;
mod store;
mod together;

use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::SandboxId;
use sandbox_protocol::pool::{KeepQuestion, Kept, PoolCall, PoolStats, PoolStatsConfig, Report, Taken};
use serde::de::DeserializeOwned;
use web_sys::{Request, Response};
use worker::{DurableObject, Env, State, Storage};
use worker_macros::durable_object;

pub use config::PoolConfig;

use crate::config::Config;
use crate::error::ApiError;
use crate::{response, stub, url};
use plan::{Known, Memory};
use state::State as SandboxState;
use store::Store;

/// The Durable Object class.
#[durable_object(alarm)]
pub struct WarmPool {
    state: State,
    env: Env,
}

/// The pool in the middle of a request or an alarm.
struct Pool {
    env: Env,
    config: Rc<Config>,
    storage: Storage,
    store: Store,
}

impl DurableObject for WarmPool {
    fn new(state: State, env: Env) -> Self {
        Self { state, env }
    }

    async fn fetch(&self, request: worker::Request) -> worker::Result<worker::Response> {
        let answer = match self.open() {
            Ok(pool) => pool.answer(request.inner()).await,
            Err(e) => Err(e),
        };
        response::of_object(answer)
    }

    async fn alarm(&self) -> worker::Result<worker::Response> {
        // An error makes the platform call the alarm again, later and later.
        let pool = self.open().map_err(|e| e.body().error)?;
        pool.refill().await.map_err(|e| e.body().error)?;
        worker::Response::empty()
    }
}

impl WarmPool {
    fn open(&self) -> Result<Pool, ApiError> {
        let storage = self.state.storage();
        Ok(Pool {
            env: self.env.clone(),
            config: Config::from_env(&self.env)?,
            store: Store::open(storage.sql())?,
            storage,
        })
    }
}

impl Pool {
    async fn answer(&self, request: &Request) -> Result<Response, ApiError> {
        let url = request.url();
        match PoolCall::from_path(url::path(&url)) {
            Some(PoolCall::Take) => self.take().await,
            Some(PoolCall::Report) => self.report(&body(request).await?),
            Some(PoolCall::Keep) => self.keep(&body(request).await?),
            Some(PoolCall::Stats) => self.stats(),
            Some(PoolCall::Prime) => {
                self.look_again(Duration::ZERO).await?;
                response::empty(204)
            }
            Some(PoolCall::ShutdownPrewarmed) => self.shutdown_prewarmed().await,
            None => Err(ApiError::NotFound),
        }
    }

    async fn take(&self) -> Result<Response, ApiError> {
        let id = self.store.take(now_ms())?;
        if self.known()?.plan().start > 0 {
            self.look_again(Duration::ZERO).await?;
        }
        let id = id.map(|id| id.to_string());
        response::json(200, &Taken { id })
    }

    fn report(&self, report: &Report) -> Result<Response, ApiError> {
        let now_ms = now_ms();
        let id = SandboxId::parse(&report.id)?;
        let change = self.store.report(&id, report.news, report.at_ms, now_ms)?;
        if let Some((Some(SandboxState::Ready), SandboxState::Stopped)) = change {
            let memory = Memory {
                failed_at_ms: Some(now_ms),
                ..self.store.memory()?
            };
            self.store.remember(memory)?;
        }
        response::empty(204)
    }

    fn keep(&self, question: &KeepQuestion) -> Result<Response, ApiError> {
        let now_ms = now_ms();
        let id = SandboxId::parse(&question.id)?;
        let keep = match self.store.state(&id)? {
            Some((SandboxState::Starting | SandboxState::Ready, _)) => true,
            // It has been idle since before it was handed out: its client has the usual time for its first use.
            Some((SandboxState::Assigned, since_ms)) => self
                .config
                .sleep_after
                .is_some_and(|after| now_ms.saturating_sub(since_ms) < millis(after)),
            Some((SandboxState::Stopping | SandboxState::Stopped, _)) | None => false,
        };
        self.store.seen(&id, now_ms)?;
        response::json(200, &Kept { keep })
    }

    fn stats(&self) -> Result<Response, ApiError> {
        let known = self.known()?;
        // Nobody reports to a pool that is off.
        let assigned = if self.config.pool.is_on() {
            known.census.assigned
        } else {
            0
        };
        let stats = PoolStats {
            warm: known.census.ready,
            assigned,
            total: known.census.ready + assigned,
            config: PoolStatsConfig {
                warm_target: known.target,
                refresh_interval: known.interval_ms,
            },
            max_instances: known.ceiling(),
        };
        response::json(200, &stats)
    }

    async fn shutdown_prewarmed(&self) -> Result<Response, ApiError> {
        self.store.mark_all(now_ms())?;
        // Not at once: who stops the warm ones wants to see none for a while.
        self.look_again(self.config.pool.refresh_interval).await?;
        self.stop_marked().await?;
        response::empty(204)
    }

    fn known(&self) -> Result<Known, ApiError> {
        let config = &self.config.pool;
        Ok(Known {
            now_ms: now_ms(),
            target: config.target,
            batch: config.batch,
            interval_ms: millis(config.refresh_interval),
            max_instances: config.max_instances,
            census: self.store.census()?,
            memory: self.store.memory()?,
        })
    }

    /// Sets the alarm.
    async fn look_again(&self, after: Duration) -> Result<(), ApiError> {
        // An alarm that is set for now, by an alarm, is lost.
        let after = after.max(Duration::from_millis(1));
        Ok(self.storage.set_alarm(after).await?)
    }
}

async fn body<T: DeserializeOwned>(request: &Request) -> Result<T, ApiError> {
    Ok(serde_json::from_str(&stub::text(request.text()).await?)?)
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    js_sys::Date::now() as u64
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
