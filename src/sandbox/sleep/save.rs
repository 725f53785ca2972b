//! Saves of `autoSave` before a sleep, and at an interval.

use std::rc::Rc;
use std::time::Duration;

use super::IdleCheck;
use crate::clock::now_ms;
use crate::sandbox::Core;
use crate::sandbox::lifecycle::{Boot, NextStep};

impl Core {
    /// Saves the workspace of an idle boot, if `autoSave` is on. Returns whether it can sleep: not
    /// after a failure, and not when a client came meanwhile.
    pub(super) async fn save_before_sleep(self: &Rc<Self>, boot: &Boot, idle_timeout: Duration) -> bool {
        let is_on = match self.record().await {
            Ok(record) => record.is_some_and(|record| record.settings.auto_save.is_some()),
            Err(_) => return false,
        };
        if !is_on {
            return true;
        }
        let uses = self.uses.get();
        if !self.save_while_running(boot, true).await {
            return false;
        }
        // Requests that came and ended meanwhile may have changed files.
        self.uses.get() == uses && matches!(self.check_activity(idle_timeout).await, Ok(IdleCheck::Idle(_)))
    }

    /// Saves the workspace, and the container if wanted, while clients can use it. Returns whether
    /// the workspace is saved.
    async fn save_while_running(self: &Rc<Self>, boot: &Boot, and_file_system: bool) -> bool {
        let ticket = self.lifecycle.borrow_mut().begin_save(&boot.id);
        let Some(ticket) = ticket else {
            return false;
        };
        let saved = self.auto_save(boot, and_file_system).await;
        self.lifecycle.borrow_mut().finish_save(ticket);
        // The reason is in the log and in the record.
        saved.is_ok()
    }

    /// Saves the workspace if the interval of `autoSave` has passed. Returns the time until the next
    /// time.
    pub(super) async fn save_at_interval(self: &Rc<Self>) -> Option<Duration> {
        let record = self.record().await.ok()??;
        let left = record.next_save(now_ms())?;
        if !left.is_zero() {
            return Some(left);
        }
        let next_step = self.lifecycle.borrow().next_step();
        if let NextStep::Use(boot) = next_step {
            self.save_while_running(&boot, false).await;
        }
        let record = self.record().await.ok()??;
        record.next_save(now_ms())
    }
}
