//! What runs and what is attached, counted: the Sandbox object asks before it puts a sandbox to sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use sandbox_protocol::Activity;

/// Counts commands and requests. Every count is held by a [`Busy`], so none can be forgotten.
#[derive(Debug)]
pub struct Tracker {
    started: Instant,
    commands: AtomicU64,
    requests: AtomicU64,
    /// Milliseconds from `started` to when the last [`Busy`] ended.
    ended_ms: AtomicU64,
}

/// What a [`Busy`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupation {
    /// A command that has not ended.
    Command,
    /// A request whose response has not been sent to its end.
    Request,
}

/// Counts as an [`Occupation`] until it is dropped.
#[derive(Debug)]
pub struct Busy {
    tracker: Arc<Tracker>,
    occupation: Occupation,
}

impl Tracker {
    /// A tracker of which nothing is known yet: idle since now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            commands: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            ended_ms: AtomicU64::new(0),
        })
    }

    /// Counts one more until what it returns is dropped.
    pub fn begin(self: &Arc<Self>, occupation: Occupation) -> Busy {
        self.count(occupation).fetch_add(1, Relaxed);
        Busy {
            tracker: Arc::clone(self),
            occupation,
        }
    }

    /// It was used a moment ago, by something that nobody counted.
    pub fn touch(&self) {
        self.ended_ms.fetch_max(self.uptime_ms(), Relaxed);
    }

    /// The counts of this moment.
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

    fn count(&self, occupation: Occupation) -> &AtomicU64 {
        match occupation {
            Occupation::Command => &self.commands,
            Occupation::Request => &self.requests,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // Before the count falls: whoever then sees nothing running must not see an old end.
        self.tracker.touch();
        self.tracker.count(self.occupation).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_while_it_is_held() {
        let tracker = Tracker::new();
        let command = tracker.begin(Occupation::Command);
        let request = tracker.begin(Occupation::Request);
        let other = tracker.begin(Occupation::Request);
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
