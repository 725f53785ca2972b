//! DELETE of a sandbox: it destroys the running boot, and an alarm [`FORGET_DELAY`] later empties
//! the object's storage, so that nothing of a destroyed sandbox is stored, and billed, for ever.
//! The response does not wait for that. The storage of a sleeping sandbox is emptied by the alarm
//! of its last boot.
//!
//! Two things survive a DELETE: the records of tunnels that are still to be removed at Cloudflare,
//! and the alarm that removes them. The last alarm empties the storage. A DELETE that fails keeps
//! everything: the container may still run, and its secret is derived from the stored key.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use sandbox_protocol::pool::SandboxEvent;
use sandbox_protocol::snapshot::SAVED_HEADER;
use web_sys::Response;

use super::lifecycle::Ticket;
use super::record;
use super::save::not_saved;
use super::{Core, Transition, exposure, grant, resume, runtime, secret, sleep};
use crate::deadline::within;
use crate::error::ApiError;
use crate::response;

/// The delay after a DELETE before the storage is emptied, unless the sandbox is used again before.
const FORGET_DELAY: Duration = Duration::from_secs(2);

impl Core {
    /// DELETE by a client; with `saves`, after the workspace was saved. A save that fails destroys
    /// nothing.
    pub async fn destroy_by_client(self: &Rc<Self>, saves: bool) -> Result<Response, ApiError> {
        let saved = match saves {
            true => Some(self.save_before_destroy().await.map_err(|e| not_saved(&e))?),
            false => None,
        };
        self.destroy().await.map_err(|e| match &saved {
            // Not 503, after which clients repeat it, and save once more.
            Some(id) => ApiError::Snapshot(format!(
                "the workspace is saved as {id}, and the sandbox was not destroyed, so send DELETE without save: {}",
                e.body().error
            )),
            None => e,
        })?;
        let response = response::empty(204)?;
        if let Some(id) = saved {
            response.headers().set(SAVED_HEADER, id.as_str())?;
        }
        Ok(response)
    }

    /// DELETE. Joins a DELETE that is under way; makes a start that is under way fail.
    pub async fn destroy(self: &Rc<Self>) -> Result<(), ApiError> {
        let superseded_start = match self.lifecycle.borrow().is_starting() {
            true => self.pending_transition(),
            false => None,
        };
        let ticket = self.lifecycle.borrow_mut().begin_destroy();
        let Some(ticket) = ticket else {
            return match self.pending_transition() {
                Some(destroying) => destroying.await,
                None => Ok(()),
            };
        };
        let core = self.clone();
        let destroying = async move {
            let boot_id = core.running_boot_id().await;
            let result = core.destroy_boots(superseded_start).await;
            core.lifecycle.borrow_mut().finish_end(ticket, result.is_ok());
            let failure = result.as_ref().err().map(|e| e.body().error);
            core.log(
                "destroy",
                boot_id.as_deref(),
                failure.as_deref().unwrap_or_default(),
            );
            if result.is_ok() {
                sleep::set_alarm(&core, FORGET_DELAY).await;
            }
            result
        };
        self.begin(destroying.boxed_local()).await
    }

    async fn destroy_boots(self: &Rc<Self>, superseded_start: Option<Transition>) -> Result<(), ApiError> {
        // First: a visit must not start the sandbox again.
        self.remove_exposures().await?;
        self.runtime.destroy().await?;
        if let Some(start) = superseded_start {
            // It is superseded, and so ends soon. A boot that it started after the call above is
            // destroyed, too.
            let ended = within(
                self.config.platform_timeout,
                "the start before this DELETE",
                start,
            );
            // Its error is expected.
            let _ = ended.await?;
            self.runtime.destroy().await?;
        }
        self.report(SandboxEvent::Stopped);
        self.destroy_record().await?;
        *self.asleep.borrow_mut() = None;
        // Exposures by requests that came before.
        self.remove_exposures().await?;
        // They belong to what was destroyed, also when the sandbox is soon created again.
        self.storage.delete(resume::KEY).await?;
        // Also in a DELETE that is repeated because this object was evicted here.
        if self.stored_record().await?.is_some_and(|record| record.has_saves) {
            self.delete_saves().await;
        }
        self.report_now().await;
        self.release_permit_later();
        self.abandon(None).await?;
        self.remove_all_grants().await
    }

    /// Empties the storage if no boot runs: after a DELETE, and in an alarm. The record of a sandbox
    /// that was not destroyed stays.
    pub async fn forget(self: &Rc<Self>) {
        let Some(ticket) = self.lifecycle.borrow_mut().begin_forget() else {
            return;
        };
        let core = self.clone();
        let forgetting = async move {
            let absent = core.runtime.inspect().await.map(|boot| boot.is_none());
            let is_absent = matches!(absent, Ok(true));
            if is_absent && let Err(e) = core.empty_storage(ticket).await {
                core.log("storage not emptied", None, &e.body().error);
            }
            core.lifecycle.borrow_mut().finish_end(ticket, is_absent);
            // Requests that wait for it go on, whether or not it failed.
            Ok(())
        };
        // It never fails.
        let _ = self.begin(forgetting.boxed_local()).await;
    }

    /// Empties the storage; no boot may run. Deletes nothing once the transition `ticket` is
    /// superseded: the state of the next one must stay.
    async fn empty_storage(&self, ticket: Ticket) -> Result<(), ApiError> {
        // An alarm set meanwhile waits until after the deletion.
        let _guard = self.alarm_lock.lock().await;
        let has_tunnels = !self.tunnel_records().await?.is_empty();
        let has_record = match self.stored_record().await? {
            Some(record) => !self.is_settled(&record),
            None => false,
        };
        let has_exposures = self.has_exposures().await?;
        if !self.lifecycle.borrow().is_current(ticket) {
            return Ok(());
        }
        self.runtime.forget_secrets();
        self.grants.forget();
        if !has_record {
            self.forget_record();
        }
        if !has_exposures {
            self.exposures.forget();
        }
        if has_tunnels || has_record || has_exposures {
            let mut keys = vec![secret::KEY, runtime::BOOT_ID_KEY, runtime::PORT_KEY, grant::KEY];
            if !has_record {
                keys.extend([record::KEY, resume::KEY]);
            }
            if !has_exposures {
                keys.push(exposure::KEY);
            }
            self.storage.delete_multiple(keys).await?;
        } else {
            // Includes the alarm, since the compatibility date 2026-02-24.
            self.storage.delete_all().await?;
        }
        Ok(())
    }
}
