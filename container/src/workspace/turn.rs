//! One task at a time, for which others wait no longer than a limit: moving files into a bucket can take
//! as long as its store wants.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The time for which a turn is waited.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The right to do something alone.
#[derive(Debug, Default)]
pub(super) struct Turn {
    is_taken: Mutex<bool>,
    freed: Condvar,
}

/// The turn of one task, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Taken<'t>(&'t Turn);

impl Turn {
    /// Takes the turn. `None`: another task has had it for too long. Blocks.
    pub(super) fn take(&self) -> Option<Taken<'_>> {
        self.take_within(TIMEOUT)
    }

    fn take_within(&self, timeout: Duration) -> Option<Taken<'_>> {
        let is_taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .freed
            .wait_timeout_while(is_taken, timeout, |is_taken| *is_taken);
        let (mut is_taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        *is_taken = true;
        Some(Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_waited_for_but_not_for_ever() {
        let turn = Turn::default();
        let taken = turn.take_within(Duration::ZERO).unwrap();
        assert!(turn.take_within(Duration::from_millis(10)).is_none());
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(turn.take_within(Duration::from_secs(60)).is_some()));
            drop(taken);
        });
        assert!(turn.take().is_some());
    }
}
