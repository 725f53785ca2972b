//! One refill: carries out a plan, learns from it, and sets the next alarm.

use std::time::Duration;

use futures_util::future::join3;
use sandbox_protocol::{ErrorBody, ErrorCode, ObjectCall, SandboxId};
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::JsValue;

use super::plan::Batch;
use super::row::Unseen;
use super::state::State;
use super::together::together;
use super::{Pool, millis, now_ms};
use crate::config::SANDBOX_BINDING;
use crate::error::ApiError;
use crate::{new_id, stub};

/// How much longer than a start itself may take the pool waits for a Sandbox object that starts.
const START_GRACE: Duration = Duration::from_secs(15);
/// How long it waits for one that stops.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits for one that only has to look.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// A sandbox reports its end. But an object that was evicted while its sandbox ended cannot, so the pool asks after
/// warm sandboxes that it has not heard of for so long…
const READY_UNHEARD: Duration = Duration::from_secs(60);
/// …and after those of clients, which are many and where only the numbers depend on it.
const ASSIGNED_UNHEARD: Duration = Duration::from_secs(15 * 60);
/// How many it asks after at once.
const MOST_LOOKS: u32 = 20;
/// For how long a stopped sandbox is remembered: longer than any report is under way.
const STOPPED_REMEMBERED: Duration = Duration::from_secs(60);

/// What has become of a start.
enum Start {
    Started,
    WithoutRoom,
    Failed,
}

#[derive(Deserialize)]
struct Running {
    running: bool,
}

impl Pool {
    /// The alarm.
    pub async fn refill(&self) -> Result<(), ApiError> {
        let began_ms = now_ms();
        self.store
            .forget_stopped_before(began_ms.saturating_sub(millis(STOPPED_REMEMBERED)))?;
        if !self.config.pool.is_on() {
            self.store.forget_clients()?;
            self.store.mark_all(began_ms)?;
        }
        let plan = self.known()?.plan();
        self.store.mark_oldest(plan.stop, began_ms)?;
        // An alarm that was interrupted has left those that were starting.
        let mut starting = self.store.ids(State::Starting)?;
        for _ in 0..plan.start {
            let id = new_id::new_id()?;
            self.store.put(&id, State::Starting, began_ms)?;
            starting.push(id);
        }
        let (batch, looked, stopped) = join3(
            self.start_all(&starting),
            self.look_after_unheard(began_ms),
            self.stop_marked(),
        )
        .await;
        let batch = batch?;
        looked.and(stopped)?;

        let memory = self.store.memory()?;
        let running = self.store.census()?.running();
        let learned = memory.after(batch, running, began_ms, now_ms());
        if learned != memory {
            self.store.remember(learned)?;
        }
        match self.known()?.plan().look_again_ms {
            Some(ms) => self.look_again(Duration::from_millis(ms)).await,
            None => Ok(()),
        }
    }

    async fn start_all(&self, ids: &[SandboxId]) -> Result<Batch, ApiError> {
        let mut batch = Batch::default();
        for start in together(ids.iter().map(|id| self.start(id))).await {
            match start? {
                Start::Started => batch.started += 1,
                Start::WithoutRoom => batch.without_room += 1,
                Start::Failed => batch.failed += 1,
            }
        }
        Ok(batch)
    }

    async fn start(&self, id: &SandboxId) -> Result<Start, ApiError> {
        let patience = self.config.start_timeout + START_GRACE;
        let answer = self.ask(id, ObjectCall::Warm, patience).await;
        let state = self.store.state(id)?.map(|(state, _)| state);
        match (answer, state) {
            (Ok(_), Some(State::Starting)) => {
                self.store.put(id, State::Ready, now_ms())?;
                Ok(Start::Started)
            }
            // The sandbox's own report was faster.
            (_, Some(State::Ready | State::Assigned)) => Ok(Start::Started),
            // It was started, and was not to be started any more.
            (Ok(_), _) => {
                self.stop(id).await?;
                Ok(Start::Started)
            }
            (Err(failure), _) => {
                self.log("warm start failed", id, &failure.error);
                // What a failed start has left is not known. Nobody has the id, so it is ended.
                self.store.put(id, State::Stopping, now_ms())?;
                self.stop(id).await?;
                Ok(match failure.code {
                    ErrorCode::CapacityExceeded => Start::WithoutRoom,
                    _ => Start::Failed,
                })
            }
        }
    }

    /// Stops every sandbox that is marked for it. One that cannot be stopped stays marked, for the next alarm.
    pub async fn stop_marked(&self) -> Result<(), ApiError> {
        let ids = self.store.ids(State::Stopping)?;
        together(ids.iter().map(|id| self.stop(id)))
            .await
            .into_iter()
            .collect()
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), ApiError> {
        match self.ask(id, ObjectCall::Destroy, STOP_PATIENCE).await {
            Ok(_) => self.store.forget_stopped(id),
            Err(failure) => {
                self.log("warm stop failed", id, &failure.error);
                Ok(())
            }
        }
    }

    async fn look_after_unheard(&self, now_ms: u64) -> Result<(), ApiError> {
        let before = |unheard: Duration| now_ms.saturating_sub(millis(unheard));
        let unseen = self
            .store
            .unseen(before(READY_UNHEARD), before(ASSIGNED_UNHEARD), MOST_LOOKS)?;
        together(unseen.iter().map(|unseen| self.look_after(unseen)))
            .await
            .into_iter()
            .collect()
    }

    async fn look_after(&self, unseen: &Unseen) -> Result<(), ApiError> {
        let answer = self.ask(&unseen.id, ObjectCall::Running, LOOK_PATIENCE).await;
        match answer.map(|text| serde_json::from_str(&text)) {
            Ok(Ok(Running { running: true })) => self.store.seen(&unseen.id, now_ms()),
            Ok(Ok(Running { running: false })) => self.store.forget_unseen(unseen),
            Ok(Err(e)) => Err(e.into()),
            // Nothing is known of it: it is asked after again.
            Err(failure) => {
                self.log("warm look failed", &unseen.id, &failure.error);
                Ok(())
            }
        }
    }

    async fn ask(&self, id: &SandboxId, call: ObjectCall, patience: Duration) -> Result<String, ErrorBody> {
        let init = stub::impatient("POST", patience);
        let answer = async {
            let response = stub::fetch(&self.env, SANDBOX_BINDING, id.as_str(), call.path(), &init).await?;
            let text = stub::text(response.text()).await?;
            Ok((response.ok(), text))
        };
        match answer.await {
            Ok((true, text)) => Ok(text),
            Ok((false, text)) => Err(serde_json::from_str(&text)
                .unwrap_or_else(|_| ErrorBody::new(ErrorCode::InternalError, text))),
            Err(e) => Err(ApiError::body(&e)),
        }
    }

    /// One line for an operator.
    fn log(&self, message: &str, id: &SandboxId, detail: &str) {
        let line = json!({ "message": message, "sandbox": id.as_str(), "detail": detail });
        web_sys::console::warn_1(&JsValue::from(line.to_string()));
    }
}
