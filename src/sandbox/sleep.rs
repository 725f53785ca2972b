//! Putting an idle sandbox to sleep.
//!
//! The object's alarm fires at the earliest time at which the sandbox can have been idle for its
//! `sleepAfter`. It asks `sandboxd`, which alone knows what is running, and either puts
//! the sandbox to sleep or sets the next alarm.

mod save;

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use sandbox_protocol::index::PERMIT_RENEW_INTERVAL;
use sandbox_protocol::{Activity, sandboxd};
use worker::Delay;

use super::Core;
use super::lifecycle::{Boot, NextStep, Ticket};
use super::record::Record;
use super::save::not_saved;
use crate::clock::now_ms;
use crate::error::ApiError;
use crate::{pool, stub};

/// The time that `sandboxd` has to end its commands and itself after SIGTERM, before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The timeout of a request for its activity.
const ACTIVITY_TIMEOUT: Duration = Duration::from_secs(5);
/// The difference between the object's own alarm and the platform's later inactivity timeout.
const INACTIVITY_GRACE: Duration = Duration::from_secs(60);
/// The minimum time until the next alarm: an alarm that an alarm sets for now is lost.
const MIN_ALARM_DELAY: Duration = Duration::from_millis(100);

/// The interval at which the object of a sandbox that never sleeps checks that it still runs, and
/// sends it a request, so that the platform does not stop it either.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The longest inactivity timeout of the platform.
const MAX_INACTIVITY: Duration = Duration::from_secs(6 * 60 * 60);

/// The result of a check whether the sandbox may sleep.
#[derive(Debug)]
enum IdleCheck {
    /// Nothing runs.
    NotRunning,
    /// It is not idle for long enough yet: to be checked again after this time.
    NotYet(Duration),
    /// This boot is idle for long enough.
    Idle(Boot),
}

/// Sets the alarm, and the platform's own timeout, of a boot that has just started.
pub async fn prepare(core: &Core) {
    let after = core.sleep_after().await;
    let inactivity = after.map_or(MAX_INACTIVITY, |after| {
        MAX_INACTIVITY.min(after + INACTIVITY_GRACE)
    });
    core.runtime.set_inactivity_timeout(inactivity).await;
    set_first_alarm(core).await;
}

/// Sets the alarm. Also called before a start, so that a boot whose object is evicted meanwhile is
/// checked, too.
pub async fn set_first_alarm(core: &Core) {
    let after = core.sleep_after().await.unwrap_or(KEEP_ALIVE_INTERVAL);
    set_alarm(core, after.min(PERMIT_RENEW_INTERVAL)).await;
    if let Ok(Some(record)) = core.record().await {
        set_lifetime_alarm(core, &record).await;
        if let Some(next) = record.next_save(now_ms()) {
            set_alarm(core, next).await;
        }
    }
}

/// Sets the alarm to the end of the sandbox's lifetime.
pub async fn set_lifetime_alarm(core: &Core, record: &Record) {
    if let Some(expires_ms) = record.settings.expires_at_ms(record.created_ms) {
        let left = expires_ms.saturating_sub(now_ms());
        set_alarm(core, Duration::from_millis(left)).await;
    }
}

/// The alarm. It also ends a sandbox whose lifetime has ended, removes the tunnels at Cloudflare and
/// the grants of boots that ended, and tells the index what it does not know.
pub async fn alarm(core: &Rc<Core>) {
    match core.expire().await {
        // The DELETE has set the next alarm.
        Ok(true) => return,
        Ok(false) => {}
        Err(e) => core.log("not expired", None, &e.body().error),
    }
    let next_check = check(core).await;
    let save = match next_check {
        Some(_) => core.save_at_interval().await,
        None => None,
    };
    let tunnels = core.sweep_tunnels().await;
    core.sweep_grants().await;
    let is_in_transition = core.lifecycle.borrow().next_step() == NextStep::Wait;
    match next_check {
        Some(_) => core.renew_permit().await,
        // A start has its permit already, and notes its own result.
        None if is_in_transition => {}
        None => core.note_stop().await,
    }
    let record = core.update_index().await;
    if next_check.is_none() && tunnels.is_none() {
        core.forget().await;
    }
    let next_check = next_check.map(|next| next.min(PERMIT_RENEW_INTERVAL));
    if let Some(next) = [next_check, save, tunnels, record].into_iter().flatten().min() {
        set_alarm(core, next).await;
    }
}

/// Puts the sandbox to sleep if it is idle, and returns the time until the next check.
async fn check(core: &Rc<Core>) -> Option<Duration> {
    let Some(idle_timeout) = core.sleep_after().await else {
        return match core.check_activity(KEEP_ALIVE_INTERVAL).await {
            Ok(IdleCheck::NotRunning) => None,
            Ok(_) => {
                prepare(core).await;
                Some(KEEP_ALIVE_INTERVAL)
            }
            Err(e) => {
                core.log("activity not known", None, &e.body().error);
                Some(KEEP_ALIVE_INTERVAL)
            }
        };
    };
    match core.check_activity(idle_timeout).await {
        Ok(IdleCheck::NotRunning) => None,
        Ok(IdleCheck::NotYet(next)) => Some(next),
        Ok(IdleCheck::Idle(boot)) => {
            if !core.save_before_sleep(&boot, idle_timeout).await {
                return Some(idle_timeout);
            }
            match core.sleep(&boot).await {
                Ok(()) => None,
                Err(e) => {
                    core.log("sleep failed", Some(&boot.id), &e.body().error);
                    Some(idle_timeout)
                }
            }
        }
        Err(e) => {
            core.log("sleep postponed", None, &e.body().error);
            Some(idle_timeout)
        }
    }
}

/// Sets the alarm to this time from now, unless an earlier one is set.
pub async fn set_alarm(core: &Core, after: Duration) {
    let after = after.max(MIN_ALARM_DELAY);
    // If two tasks read the alarm before either sets it, the later time could win.
    let _guard = core.alarm_lock.lock().await;
    let due = js_sys::Date::now() + after.as_millis() as f64;
    let current = core.storage.get_alarm().await;
    if matches!(current, Ok(Some(earlier)) if earlier as f64 <= due) {
        return;
    }
    if let Err(e) = core.storage.set_alarm(after).await {
        core.log("alarm lost", None, &e.to_string());
    }
}

impl Core {
    /// The idle time after which the sandbox is put to sleep; `None`: never.
    pub async fn sleep_after(&self) -> Option<Duration> {
        let default = self.config.sleep_after;
        match self.record().await {
            Ok(Some(record)) => record.settings.sleep_after(default),
            Ok(None) => default,
            Err(e) => {
                self.log("settings not known", None, &e.body().error);
                default
            }
        }
    }

    /// Checks whether the sandbox may sleep. Starts no sandbox.
    async fn check_activity(self: &Rc<Self>, idle_timeout: Duration) -> Result<IdleCheck, ApiError> {
        let next_step = self.lifecycle.borrow().next_step();
        let boot = match next_step {
            NextStep::Use(boot) => boot,
            // A start sets its own alarm; an end needs none.
            NextStep::Wait | NextStep::Start { inspect_first: false } => return Ok(IdleCheck::NotRunning),
            // The object was evicted while its sandbox ran.
            NextStep::Start { inspect_first: true } if self.runtime.inspect().await?.is_none() => {
                return Ok(IdleCheck::NotRunning);
            }
            NextStep::Start { inspect_first: true } => self.boot().await?,
        };
        let uses = self.uses.get();
        let response = self
            .runtime
            .fetch(
                &boot,
                sandboxd::ACTIVITY,
                &stub::with_timeout("GET", ACTIVITY_TIMEOUT),
            )
            .await?;
        let activity: Activity = serde_json::from_str(&stub::text(response.text()).await?)?;
        let remaining = remaining_idle_time(&activity, idle_timeout);
        // sandboxd does not count a save or a restore, which is many requests.
        let is_kept = remaining.is_none()
            && (pool::client::keeps(&self.env, &self.config, &self.id).await
                || self.save_lock.try_lock().is_none());
        // A request that came during these calls may not have reached sandboxd yet.
        Ok(match remaining {
            Some(remaining) if self.uses.get() == uses => IdleCheck::NotYet(remaining),
            None if self.uses.get() == uses && !is_kept => IdleCheck::Idle(boot),
            _ => IdleCheck::NotYet(idle_timeout),
        })
    }

    /// Sends SIGTERM, and SIGKILL after the grace. Requests that come meanwhile wait, and then
    /// start the sandbox again.
    async fn sleep(self: &Rc<Self>, boot: &Boot) -> Result<(), ApiError> {
        let ticket = self.lifecycle.borrow_mut().begin_sleep(&boot.id);
        match ticket {
            // It was saved before.
            Some(ticket) => self.end(boot, ticket, false).await,
            None => Ok(()),
        }
    }

    /// Puts the sandbox to sleep now, if it runs.
    pub async fn stop(self: &Rc<Self>) -> Result<(), ApiError> {
        let Some(boot) = self.running_boot().await? else {
            return Ok(());
        };
        let ticket = self.lifecycle.borrow_mut().begin_stop();
        match (ticket, self.pending_transition()) {
            (Some(ticket), _) => self.end(&boot, ticket, true).await,
            (None, Some(transition)) => transition.await,
            (None, None) => Ok(()),
        }
    }

    /// Ends a boot: the transition `ticket`. With `saves`, its workspace is saved first; a failure
    /// leaves it running.
    async fn end(self: &Rc<Self>, boot: &Boot, ticket: Ticket, saves: bool) -> Result<(), ApiError> {
        let saves = saves.then(|| boot.clone());
        let (core, exit) = (self.clone(), self.watch(boot));
        let id = boot.id.clone();
        let transition = async move {
            if let Some(boot) = saves
                && let Err(e) = core.auto_save(&boot, true).await
            {
                core.lifecycle.borrow_mut().finish_end(ticket, false);
                return Err(not_saved(&e));
            }
            if !core.lifecycle.borrow().is_current(ticket) {
                // After a DELETE, another boot may run.
                return Ok(());
            }
            core.log("sleep", Some(&id), "");
            let mut result = core.runtime.terminate().await;
            if let Either::Right(_) = select(exit, Delay::from(STOP_GRACE)).await {
                // After a DELETE, another boot may run.
                let is_current = core.lifecycle.borrow().is_current(ticket);
                if is_current {
                    result = core.runtime.destroy().await;
                }
            }
            if result.is_ok() {
                core.note_stop().await;
            }
            core.lifecycle.borrow_mut().finish_end(ticket, result.is_ok());
            result
        };
        self.begin(transition.boxed_local()).await
    }
}

/// The time for which the sandbox must stay idle until it may sleep; `None`: it may sleep now.
fn remaining_idle_time(activity: &Activity, idle_timeout: Duration) -> Option<Duration> {
    let idle = Duration::from_millis(activity.idle_ms);
    if activity.is_busy() {
        return Some(idle_timeout);
    }
    (idle < idle_timeout).then(|| idle_timeout - idle)
}

#[cfg(test)]
mod tests;
