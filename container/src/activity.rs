//! Counts running commands and open requests: the Sandbox object asks before it puts a sandbox to
//! sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use sandbox_protocol::Activity;

/// Counts commands and requests. Every count is held by an [`ActivityGuard`], so none can be
/// forgotten.
#[derive(Debug)]
pub struct Tracker {
    started: Instant,
    commands: AtomicU64,
    requests: AtomicU64,
    /// Milliseconds from `started` to when the last [`ActivityGuard`] ended.
    ended_ms: AtomicU64,
}

/// The kind of activity that an [`ActivityGuard`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityKind {
    /// A command that has not ended.
    Command,
    /// A request whose response has not been sent completely.
    Request,
}

/// Counts one activity until it is dropped.
#[derive(Debug)]
pub struct ActivityGuard {
    tracker: Arc<Tracker>,
    kind: ActivityKind,
}

impl Tracker {
    /// A tracker without activity: idle since now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            commands: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            ended_ms: AtomicU64::new(0),
        })
    }

    /// Counts one more until the guard is dropped.
    pub fn begin(self: &Arc<Self>, kind: ActivityKind) -> ActivityGuard {
        self.count(kind).fetch_add(1, Relaxed);
        ActivityGuard {
            tracker: Arc::clone(self),
            kind,
        }
    }

    /// Restarts the idle time, after an activity that is not counted.
    pub fn touch(&self) {
        self.ended_ms.fetch_max(self.uptime_ms(), Relaxed);
    }

    /// The current counts.
    pub fn activity(&self) -> Activity {
        let uptime_ms = self.uptime_ms();
        let mut activity = Activity {
            commands: self.commands.load(Relaxed),
            requests: self.requests.load(Relaxed),
            idle_ms: 0,
            uptime_ms,
        };
        if !activity.is_busy() {
            activity.idle_ms = uptime_ms.saturating_sub(self.ended_ms.load(Relaxed));
        }
        activity
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn count(&self, kind: ActivityKind) -> &AtomicU64 {
        match kind {
            ActivityKind::Command => &self.commands,
            ActivityKind::Request => &self.requests,
        }
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        // Before the count falls: a reader that then sees nothing running must not see an old end.
        self.tracker.touch();
        self.tracker.count(self.kind).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_while_it_is_held() {
        let tracker = Tracker::new();
        let command = tracker.begin(ActivityKind::Command);
        let request = tracker.begin(ActivityKind::Request);
        let other = tracker.begin(ActivityKind::Request);
        let activity = tracker.activity();
        assert_eq!(
            (activity.commands, activity.requests, activity.idle_ms),
            (1, 2, 0)
        );
        drop((request, other));
        assert!(tracker.activity().is_busy());
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(command);
        let activity = tracker.activity();
        assert!(!activity.is_busy());
        assert!(activity.idle_ms <= activity.uptime_ms - 20, "{activity:?}");
    }
}
