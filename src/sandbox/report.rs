//! Reports of the record's changes to the index, and what follows from the record in time: the end
//! of its lifetime, and the end of a sandbox that nobody configured.

use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::index::{Listed, SandboxReport};
use sandbox_protocol::sandbox::{SandboxState, Settings};
use serde_json::value::RawValue;
use wasm_bindgen_futures::spawn_local;

use super::lifecycle::{Boot, Ticket};
use super::record::Record;
use super::{Core, sleep};
use crate::clock::{millis, now_ms};
use crate::error::ApiError;
use crate::index;

impl Core {
    /// Notes that a boot was started. The index is told in the background.
    pub async fn mark_started(self: &Rc<Self>) -> Result<Record, ApiError> {
        let record = self.change_record(|record| {
            record.state = SandboxState::Running;
            record.started_ms = Some(now_ms());
            record.started_with = (&record.settings).into();
            record.started_image = self
                .runtime
                .kept_image(record.settings.image.as_deref())
                .ok()
                .flatten();
            Ok(true)
        });
        let record = record.await?;
        self.report_later();
        Ok(record)
    }

    /// Notes that no boot runs any more, unless one was started meanwhile. The index is told in the
    /// background.
    pub async fn mark_stopped(self: &Rc<Self>) -> Result<Record, ApiError> {
        let mut was_running = false;
        let record = self.change_record(|record| {
            was_running = record.state == SandboxState::Running && !self.lifecycle.borrow().is_used();
            if was_running {
                record.state = SandboxState::Stopped;
            }
            Ok(was_running)
        });
        let record = record.await?;
        if record.permit.is_some() {
            self.release_permit_later();
        }
        if was_running {
            self.report_later();
        }
        Ok(record)
    }

    /// As [`mark_stopped`](Self::mark_stopped), where a failure must not stop anything else.
    pub async fn note_stop(self: &Rc<Self>) {
        let stopped = match self.record().await {
            Ok(Some(_)) => self.mark_stopped().await.map(drop),
            Ok(None) => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(e) = stopped {
            self.log("stop not recorded", None, &e.body().error);
        }
    }

    /// Notes that nothing runs after a start that failed, or that a boot does: it keeps its permit, and
    /// the next request finds it.
    pub async fn note_failed_start(self: &Rc<Self>) {
        let noted = match self.runtime.inspect().await {
            Ok(None) => {
                self.note_stop().await;
                return;
            }
            Ok(Some(_)) => self.mark_started().await.map(drop),
            Err(e) => Err(e),
        };
        if let Err(e) = noted {
            // The alarm looks again.
            self.log("state not recorded", None, &e.body().error);
        }
    }

    /// Reports the record, unless the index has it.
    async fn report_record(&self) -> Result<(), ApiError> {
        let Some(record) = self.stored_record().await? else {
            return Ok(());
        };
        if self.is_reported(&record) {
            return Ok(());
        }
        let report = SandboxReport {
            id: self.id.to_string(),
            changed_ms: record.changed_ms,
            created_ms: record.created_ms,
            listed: self.listed(&record)?,
        };
        index::client::report(&self.env, &self.config, &self.id, &report).await?;
        let reported = &self.records.reported_ms;
        reported.set(reported.get().max(record.changed_ms));
        Ok(())
    }

    /// The sandbox as the index keeps it; `None`: it was destroyed.
    fn listed(&self, record: &Record) -> Result<Option<Listed>, ApiError> {
        if record.is_destroyed {
            return Ok(None);
        }
        let info = serde_json::to_string(&self.recorded_info(record))?;
        Ok(Some(Listed {
            state: record.state,
            labels: record.settings.labels.clone(),
            info: RawValue::from_string(info)?,
        }))
    }

    /// Whether the index has this record.
    pub fn is_reported(&self, record: &Record) -> bool {
        self.records.reported_ms.get() >= record.changed_ms
    }

    /// Whether nobody has to be told anything about this record any more.
    pub fn is_settled(&self, record: &Record) -> bool {
        record.is_destroyed && record.permit.is_none() && self.is_reported(record)
    }

    /// Reports the record. A failure is logged, and tried again by the alarm.
    pub async fn report_now(&self) {
        if let Err(e) = self.report_record().await {
            self.log("the index was not told", None, &e.body().error);
            self.set_report_alarm().await;
        }
    }

    fn report_later(self: &Rc<Self>) {
        let core = self.clone();
        spawn_local(async move { core.report_now().await });
    }

    /// Sets the alarm for a report that may be lost with this object.
    pub async fn set_report_alarm(&self) {
        sleep::set_alarm(self, self.config.index_retry).await;
    }

    /// Tells the index what it does not know, for the alarm. Returns the time until the next alarm
    /// that the record needs.
    pub async fn update_index(self: &Rc<Self>) -> Option<Duration> {
        match self.try_update_index().await {
            Ok(next) => next,
            Err(e) => {
                self.log("the index was not told", None, &e.body().error);
                Some(self.config.index_retry)
            }
        }
    }

    async fn try_update_index(self: &Rc<Self>) -> Result<Option<Duration>, ApiError> {
        let Some(record) = self.stored_record().await? else {
            return Ok(None);
        };
        let due_ms = due_ms(&record, millis(self.config.forget_after));
        let left = due_ms.map(|due_ms| Duration::from_millis(due_ms.saturating_sub(now_ms())));
        let is_due = left.is_some_and(|left| left.is_zero());
        let is_forgotten = is_due && record.state != SandboxState::Running;
        if is_forgotten {
            self.destroy_record().await?;
        }
        self.report_record().await?;
        self.release_permit().await?;
        Ok(match left {
            Some(_) if is_forgotten => None,
            // Its lifetime has ended, and it could not be destroyed.
            Some(_) if is_due => Some(self.config.index_retry),
            left => left,
        })
    }

    /// Compares the record with a boot that this object has found running, and finishes what an object
    /// before it may have begun.
    pub async fn resume_boot(self: &Rc<Self>, ticket: Ticket, boot: &Boot) -> Result<(), ApiError> {
        let record = match self.record().await? {
            Some(record) if record.state == SandboxState::Running => record,
            _ => self.mark_started().await?,
        };
        if record.is_env_pending {
            self.set_environment(boot).await?;
        }
        self.finish_restore(ticket, boot).await
    }

    /// Destroys a sandbox whose lifetime has ended. Returns whether it has.
    pub async fn expire(self: &Rc<Self>) -> Result<bool, ApiError> {
        let Some(record) = self.record().await? else {
            return Ok(false);
        };
        let expires_ms = record.settings.expires_at_ms(record.created_ms);
        if expires_ms.is_none_or(|expires_ms| now_ms() < expires_ms) {
            return Ok(false);
        }
        self.log("expired", None, "");
        self.has_expired.set(true);
        self.destroy().await?;
        Ok(true)
    }
}

/// The time at which the record needs the alarm, in milliseconds since 1970: the end of its lifetime,
/// or that of a sandbox without settings that does not run, which is forgotten after
/// `forget_after_ms`.
fn due_ms(record: &Record, forget_after_ms: u64) -> Option<u64> {
    if record.is_destroyed {
        return None;
    }
    let is_forgotten = record.settings == Settings::default() && record.state != SandboxState::Running;
    if is_forgotten {
        return Some(record.changed_ms.saturating_add(forget_after_ms));
    }
    record.settings.expires_at_ms(record.created_ms)
}
