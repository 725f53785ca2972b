//! Keeps processes from being started while all are [stopped](super::stop).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a stop waits for starts that are under way. A file system that does not answer can hold
/// one for ever.
const STARTING_TIMEOUT: Duration = Duration::from_millis(200);

/// The starts and the stops of this process.
static GATE: Gate = Gate {
    state: Mutex::new(State { stops: 0, starts: 0 }),
    changed: Condvar::new(),
};

struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stops: usize,
    starts: usize,
}

/// A start that is under way, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Starting(());

/// A stop, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Closed(());

/// Begins a start. Blocks while all processes are stopped.
pub fn start() -> Starting {
    let state = GATE.state();
    let mut state = GATE
        .changed
        .wait_while(state, |state| state.stops > 0)
        .unwrap_or_else(PoisonError::into_inner);
    state.starts += 1;
    Starting(())
}

/// Lets no further start begin. Blocks for a moment while some are under way.
pub fn close() -> Closed {
    let mut state = GATE.state();
    state.stops += 1;
    let is_starting = |state: &mut State| state.starts > 0;
    drop(
        GATE.changed
            .wait_timeout_while(state, STARTING_TIMEOUT, is_starting),
    );
    Closed(())
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        GATE.state().starts -= 1;
        GATE.changed.notify_all();
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        GATE.state().stops -= 1;
        GATE.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_start_waits_for_the_end_of_a_stop() {
        drop(start());
        let first = close();
        let second = close();
        let (started, is_started) = mpsc::channel();
        let starting = thread::spawn(move || {
            let starting = start();
            started.send(()).unwrap();
            drop(starting);
        });
        drop(first);
        assert!(is_started.recv_timeout(Duration::from_millis(50)).is_err());
        drop(second);
        is_started.recv().unwrap();
        starting.join().unwrap();
        drop(close());
    }
}
