//! One refill: carries out a plan, remembers its results, and sets the next alarm.

use std::time::Duration;

use futures_util::future::{join_all, join3};
use sandbox_protocol::{ErrorBody, ErrorCode, ObjectCall, SandboxId};
use serde::Deserialize;
use serde_json::json;

use super::Pool;
use super::plan::Batch;
use super::row::Stale;
use super::state::State;
use crate::clock::{millis, now_ms};
use crate::config::SANDBOX_BINDING;
use crate::error::ApiError;
use crate::{log, new_id, stub};

/// The time that the pool waits for a Sandbox object to start a sandbox, beyond the timeout of a start.
const START_GRACE: Duration = Duration::from_secs(15);
/// The timeout of the pool's request that a Sandbox object stop its sandbox.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// The timeout of the pool's request that a Sandbox object inspect its runtime.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The interval at which the pool checks warm sandboxes that did not report: a sandbox reports its
/// end, but an object that was evicted while its sandbox ended cannot.
const READY_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// The same for the sandboxes of clients, which are many, and where only the statistics depend on
/// it.
const ASSIGNED_CHECK_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// The maximum of sandboxes checked at once.
const MAX_CHECKS: u32 = 20;
/// The time for which a stopped sandbox is remembered: longer than a report can take to arrive.
const STOPPED_RETENTION: Duration = Duration::from_secs(60);

/// The result of a start.
enum Start {
    Started,
    NoCapacity,
    Failed,
}

#[derive(Deserialize)]
struct Running {
    running: bool,
}

impl Pool {
    /// The alarm.
    pub async fn refill(&self) -> Result<(), ApiError> {
        let started_ms = now_ms();
        self.store
            .forget_stopped_before(started_ms.saturating_sub(millis(STOPPED_RETENTION)))?;
        if !self.config.pool.is_on() {
            self.store.forget_clients()?;
            self.store.mark_all(started_ms)?;
        }
        let plan = self.known()?.plan();
        self.store.mark_oldest(plan.stop, started_ms)?;
        // Includes those that an interrupted alarm has left.
        let mut starting = self.store.ids(State::Starting)?;
        for _ in 0..plan.start {
            let id = new_id::new_id()?;
            self.store.put(&id, State::Starting, started_ms)?;
            starting.push(id);
        }
        let (batch, checked, stopped) = join3(
            self.start_all(&starting),
            self.check_stale(started_ms),
            self.stop_marked(),
        )
        .await;
        let batch = batch?;
        checked.and(stopped)?;

        let history = self.store.history()?;
        let running = self.store.counts()?.running();
        let learned = history.after(batch, running, started_ms, now_ms());
        if learned != history {
            self.store.remember(learned)?;
        }
        match self.known()?.plan().next_refill_ms {
            Some(ms) => self.set_alarm(Duration::from_millis(ms)).await,
            None => Ok(()),
        }
    }

    async fn start_all(&self, ids: &[SandboxId]) -> Result<Batch, ApiError> {
        let mut batch = Batch::default();
        for start in join_all(ids.iter().map(|id| self.start(id))).await {
            match start? {
                Start::Started => batch.started += 1,
                Start::NoCapacity => batch.no_capacity += 1,
                Start::Failed => batch.failed += 1,
            }
        }
        Ok(batch)
    }

    async fn start(&self, id: &SandboxId) -> Result<Start, ApiError> {
        let timeout = self.config.start_timeout + START_GRACE;
        let result = self.ask(id, ObjectCall::Warm, timeout).await;
        let state = self.store.state(id)?.map(|(state, _)| state);
        match (result, state) {
            (Ok(_), Some(State::Starting)) => {
                self.store.put(id, State::Ready, now_ms())?;
                Ok(Start::Started)
            }
            // The sandbox's own report arrived first.
            (_, Some(State::Ready | State::Assigned)) => Ok(Start::Started),
            // The start was cancelled while it was under way.
            (Ok(_), _) => {
                self.stop(id).await?;
                Ok(Start::Started)
            }
            (Err(failure), _) => {
                self.log("warm start failed", id, &failure.error);
                // A failed start may have left a sandbox. No client has the id, so it is stopped.
                self.store.put(id, State::Stopping, now_ms())?;
                self.stop(id).await?;
                Ok(match failure.code {
                    ErrorCode::CapacityExceeded => Start::NoCapacity,
                    _ => Start::Failed,
                })
            }
        }
    }

    /// Stops every sandbox that is marked for it. If a stop fails, the mark stays, for the next
    /// alarm.
    pub async fn stop_marked(&self) -> Result<(), ApiError> {
        let ids = self.store.ids(State::Stopping)?;
        join_all(ids.iter().map(|id| self.stop(id)))
            .await
            .into_iter()
            .collect()
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), ApiError> {
        match self.ask(id, ObjectCall::Destroy, STOP_TIMEOUT).await {
            Ok(_) => self.store.forget_stopped(id),
            Err(failure) => {
                self.log("warm stop failed", id, &failure.error);
                Ok(())
            }
        }
    }

    async fn check_stale(&self, now_ms: u64) -> Result<(), ApiError> {
        let before = |interval: Duration| now_ms.saturating_sub(millis(interval));
        let stale = self.store.stale(
            before(READY_CHECK_INTERVAL),
            before(ASSIGNED_CHECK_INTERVAL),
            MAX_CHECKS,
        )?;
        join_all(stale.iter().map(|stale| self.check(stale)))
            .await
            .into_iter()
            .collect()
    }

    async fn check(&self, stale: &Stale) -> Result<(), ApiError> {
        let result = self.ask(&stale.id, ObjectCall::Running, INSPECT_TIMEOUT).await;
        match result.map(|text| serde_json::from_str(&text)) {
            Ok(Ok(Running { running: true })) => self.store.seen(&stale.id, now_ms()),
            Ok(Ok(Running { running: false })) => self.store.forget_stale(stale),
            Ok(Err(e)) => Err(e.into()),
            // Its state is unknown: it is checked again.
            Err(failure) => {
                self.log("warm check failed", &stale.id, &failure.error);
                Ok(())
            }
        }
    }

    async fn ask(&self, id: &SandboxId, call: ObjectCall, timeout: Duration) -> Result<String, ErrorBody> {
        let init = stub::with_timeout("POST", timeout);
        let result = async {
            let response = stub::fetch(&self.env, SANDBOX_BINDING, id.as_str(), call.path(), &init).await?;
            let text = stub::text(response.text()).await?;
            Ok((response.ok(), text))
        };
        match result.await {
            Ok((true, text)) => Ok(text),
            Ok((false, text)) => Err(serde_json::from_str(&text)
                .unwrap_or_else(|_| ErrorBody::new(ErrorCode::InternalError, text))),
            Err(e) => Err(ApiError::body(&e)),
        }
    }

    /// Writes one log line.
    fn log(&self, message: &str, id: &SandboxId, detail: &str) {
        let line = json!({ "message": message, "sandbox": id.as_str(), "detail": detail });
        log::warn(&line);
    }
}
