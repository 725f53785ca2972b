//! Permits to run: at most `MAX_SANDBOXES` sandboxes have one. The index gives them when a sandbox
//! starts, and has them back when it stops. A permit is a lease that the alarm renews, so that one
//! whose sandbox ended without notice is free again.

use std::rc::Rc;

use sandbox_protocol::index::{
    PERMIT_LEASE, PERMIT_RENEW_INTERVAL, PermitRequest, permit_shards, permit_share, shard,
};
use sandbox_protocol::sandbox::SandboxState;
use wasm_bindgen_futures::spawn_local;

use super::Core;
use super::record::Record;
use crate::clock::{millis, now_ms};
use crate::error::ApiError;
use crate::index;

impl Core {
    /// Gets a permit to run, from any shard that has one left. Error: 503, there is none, or the
    /// shards that may have some do not answer.
    pub async fn acquire_permit(self: &Rc<Self>) -> Result<(), ApiError> {
        let Some(max) = self.runtime.max_sandboxes(&self.config) else {
            return Ok(());
        };
        // A release that is under way ends first.
        let _guard = self.permit_lock.lock().await;
        let held = self.record().await?.and_then(|record| record.permit);
        let shards = permit_shards(max, self.config.index_shards);
        let own = shard(&self.id, shards);
        let others = (0..shards).map(|step| (own + step) % shards);
        let mut unknown = None;
        for shard in held.into_iter().chain(others) {
            match self.ask_for_permit(max, shard).await {
                Ok(true) if held == Some(shard) => return Ok(()),
                Ok(true) => {
                    let noted = self.change_record(|record| {
                        record.permit = Some(shard);
                        Ok(true)
                    });
                    return noted.await.map(drop);
                }
                Ok(false) => {}
                // Each shard has permits of its own: the next one may have some left.
                Err(e) => unknown = Some(e.body().error),
            }
        }
        Err(match unknown {
            Some(why) => {
                ApiError::Unavailable(format!("the number of running sandboxes is not known: {why}"))
            }
            None => ApiError::Capacity(format!(
                "{max} sandboxes run, and MAX_SANDBOXES allows no more: stop or delete one"
            )),
        })
    }

    async fn ask_for_permit(&self, max: u32, shard: u32) -> Result<bool, ApiError> {
        let shards = permit_shards(max, self.config.index_shards);
        let request = PermitRequest {
            id: self.id.to_string(),
            limit: permit_share(max, shard, shards),
            lease_ms: millis(PERMIT_LEASE),
        };
        let granted = index::client::acquire(&self.env, shard, &request).await?;
        if granted {
            self.records.permit_renewed_ms.set(now_ms());
        }
        Ok(granted)
    }

    /// Renews the permit of a sandbox that runs, for the alarm. A shard that does not answer is asked
    /// again by the next one: the permit is valid for longer.
    pub async fn renew_permit(self: &Rc<Self>) {
        let age_ms = now_ms().saturating_sub(self.records.permit_renewed_ms.get());
        if age_ms < millis(PERMIT_RENEW_INTERVAL) / 2 {
            return;
        }
        let renewed = async {
            match (self.record().await?, self.runtime.max_sandboxes(&self.config)) {
                (
                    Some(Record {
                        permit: Some(shard), ..
                    }),
                    Some(max),
                ) => self.ask_for_permit(max, shard).await,
                _ => Ok(true),
            }
        };
        if let Err(e) = renewed.await {
            self.log("permit not renewed", None, &e.body().error);
        }
    }

    /// Gives the permit back, if the sandbox has one and does not run. The record names it until
    /// the next change: to give it back twice does no harm.
    pub async fn release_permit(&self) -> Result<(), ApiError> {
        let _guard = self.permit_lock.lock().await;
        let record = self.stored_record().await?;
        // A start acquires its permit before the record says that the sandbox runs.
        let is_starting = self.lifecycle.borrow().is_starting();
        let may_release =
            |record: &Record| !is_starting && (record.is_destroyed || record.state != SandboxState::Running);
        let Some(shard) = record.filter(may_release).and_then(|record| record.permit) else {
            return Ok(());
        };
        index::client::release(&self.env, shard, &self.id).await?;
        self.forget_permit();
        Ok(())
    }

    /// As [`release_permit`](Self::release_permit), in the background. A failure is tried again by
    /// the alarm.
    pub fn release_permit_later(self: &Rc<Self>) {
        let core = self.clone();
        spawn_local(async move {
            if let Err(e) = core.release_permit().await {
                core.log("permit not released", None, &e.body().error);
                core.set_report_alarm().await;
            }
        });
    }
}
