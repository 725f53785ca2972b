//! Putting an idle sandbox to sleep.
//!
//! The object's alarm comes at the earliest moment at which the sandbox could have been idle for `SANDBOX_SLEEP_AFTER`.
//! It asks `sandboxd`, which alone knows what runs, and either puts the sandbox to sleep or sets the next alarm.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use sandbox_protocol::{Activity, sandboxd};
use worker::Delay;

use super::Core;
use super::lifecycle::{Boot, Need};
use super::secret::Secret;
use crate::error::ApiError;
use crate::{pool, stub};

/// How long `sandboxd` has to end its commands and itself after SIGTERM, before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How long it may take to say whether it is idle.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much later than our own alarm the platform's net catches a sandbox.
const NET: Duration = Duration::from_secs(60);
/// The shortest time until the next alarm: one set for now, by an alarm, is lost.
const SOON: Duration = Duration::from_millis(100);

/// What an alarm found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// Nothing runs.
    Absent,
    /// It could be idle long enough after this time.
    Awake(Duration),
    /// It is idle long enough.
    Idle,
}

/// Sets the first alarm of a boot that has just come up.
pub async fn prepare(core: &Core) {
    let Some(after) = core.config.sleep_after else {
        return;
    };
    core.runtime.set_inactivity_timeout(after + NET).await;
    set_alarm(core, after).await;
}

/// The alarm. It is for tunnels and mounts too: what a boot that ended left at Cloudflare, or here, is taken away by it.
pub async fn alarm(core: &Rc<Core>) {
    let next = [look(core).await, core.sweep_tunnels().await];
    core.sweep_grants().await;
    if let Some(next) = next.into_iter().flatten().min() {
        set_alarm(core, next).await;
    }
}

/// Puts the sandbox to sleep if it is idle, and says when to look again.
async fn look(core: &Rc<Core>) -> Option<Duration> {
    let after = core.config.sleep_after?;
    match core.find(after).await {
        Ok((Finding::Absent, _)) => None,
        Ok((Finding::Awake(next), _)) => Some(next),
        Ok((Finding::Idle, boot)) => {
            let e = core.sleep(&boot).await.err()?;
            core.log("sleep failed", Some(&boot.id), &e.body().error);
            Some(after)
        }
        Err(e) => {
            core.log("sleep put off", None, &e.body().error);
            Some(after)
        }
    }
}

/// Makes the alarm come after this time, unless it comes earlier anyway.
pub async fn set_alarm(core: &Core, after: Duration) {
    let after = after.max(SOON);
    let due = js_sys::Date::now() + after.as_millis() as f64;
    let is_earlier = core.storage.get_alarm().await;
    if matches!(is_earlier, Ok(Some(earlier)) if earlier as f64 <= due) {
        return;
    }
    if let Err(e) = core.storage.set_alarm(after).await {
        core.log("alarm lost", None, &e.to_string());
    }
}

impl Core {
    /// Looks whether the sandbox may sleep. Starts nothing.
    async fn find(self: &Rc<Self>, after: Duration) -> Result<(Finding, Boot), ApiError> {
        let absent = Boot {
            id: String::new(),
            origin: String::new(),
            secret: Secret::default(),
        };
        let need = self.lifecycle.borrow().need();
        let boot = match need {
            Need::Use(boot) => boot,
            // A start sets an alarm of its own; an end needs none.
            Need::Wait | Need::Start { look_first: false } => return Ok((Finding::Absent, absent)),
            // The object was evicted while its sandbox ran.
            Need::Start { look_first: true } if self.runtime.inspect().await?.is_none() => {
                return Ok((Finding::Absent, absent));
            }
            Need::Start { look_first: true } => self.boot().await?,
        };
        let uses = self.uses.get();
        let response = self
            .runtime
            .fetch(&boot, sandboxd::ACTIVITY, &stub::impatient("GET", PATIENCE))
            .await?;
        let activity: Activity = serde_json::from_str(&stub::text(response.text()).await?)?;
        let mut finding = judge(&activity, after);
        if finding == Finding::Idle && pool::client::keeps(&self.env, &self.config, &self.id).await {
            finding = Finding::Awake(after);
        }
        // A request that came while others were asked has not reached sandboxd yet.
        if self.uses.get() != uses {
            finding = Finding::Awake(after);
        }
        Ok((finding, boot))
    }

    /// SIGTERM, and SIGKILL if it does not end in time. Requests that come meanwhile wait, and then start it anew.
    async fn sleep(self: &Rc<Self>, boot: &Boot) -> Result<(), ApiError> {
        let ticket = self.lifecycle.borrow_mut().sleep_began(&boot.id);
        let Some(ticket) = ticket else { return Ok(()) };
        let (core, exit) = (self.clone(), self.watch(boot));
        let id = boot.id.clone();
        let falling_asleep = async move {
            core.log("sleep", Some(&id), "");
            let mut result = core.runtime.terminate().await;
            if let Either::Right(_) = select(exit, Delay::from(GRACE)).await {
                result = core.runtime.destroy().await;
            }
            core.lifecycle.borrow_mut().end_ended(ticket, result.is_ok());
            result
        };
        self.begin(falling_asleep.boxed_local()).await
    }
}

fn judge(activity: &Activity, after: Duration) -> Finding {
    let idle = Duration::from_millis(activity.idle_ms);
    if activity.is_busy() {
        Finding::Awake(after)
    } else if idle < after {
        Finding::Awake(after - idle)
    } else {
        Finding::Idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_idle_long_enough_sleeps() {
        let after = Duration::from_secs(10);
        let activity = |commands, requests, idle_ms| Activity {
            commands,
            requests,
            idle_ms,
            uptime_ms: 99_999,
        };
        for (activity, finding) in [
            (activity(1, 0, 0), Finding::Awake(after)),
            (activity(0, 1, 0), Finding::Awake(after)),
            (activity(0, 0, 0), Finding::Awake(after)),
            (activity(0, 0, 7_000), Finding::Awake(Duration::from_secs(3))),
            (activity(0, 0, 9_999), Finding::Awake(Duration::from_millis(1))),
            (activity(0, 0, 10_000), Finding::Idle),
            (activity(0, 0, 99_000), Finding::Idle),
        ] {
            assert_eq!(judge(&activity, after), finding, "{activity:?}");
        }
    }
}
