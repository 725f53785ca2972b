//! Visits to exposed ports, by clients without a key. A visit ends with the exposure of its port: at
//! the time that the exposure ends, or as soon as the port is no longer exposed.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sandbox_protocol::preview::Validity;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The time until which exposures of each port are valid no longer, in milliseconds since 1970.
#[derive(Debug, Default)]
pub struct Visits {
    ended_until_ms: Mutex<HashMap<u16, watch::Sender<u64>>>,
}

/// A visit under way.
#[derive(Debug)]
pub struct Visit {
    since_ms: u64,
    ended_until_ms: watch::Receiver<u64>,
    /// The end of the exposure, if it has one.
    deadline: Option<Instant>,
}

impl Visits {
    /// Begins a visit to `port` by an exposure with this validity. `None`: it is valid no longer.
    pub fn begin(&self, port: u16, validity: Validity) -> Option<Visit> {
        let ended_until_ms = self.of_port(port, watch::Sender::subscribe);
        let is_valid = *ended_until_ms.borrow() < validity.since_ms;
        let remaining = validity.remaining_ms.map(Duration::from_millis);
        is_valid.then(|| Visit {
            since_ms: validity.since_ms,
            ended_until_ms,
            deadline: remaining.and_then(|remaining| Instant::now().checked_add(remaining)),
        })
    }

    /// Ends the visits to `port` by exposures that are valid since this time or before.
    pub fn end(&self, port: u16, until_ms: u64) {
        self.of_port(port, |ended| {
            ended.send_if_modified(|ended| {
                let is_later = until_ms > *ended;
                *ended = until_ms.max(*ended);
                is_later
            });
        });
    }

    fn of_port<T>(&self, port: u16, run: impl FnOnce(&watch::Sender<u64>) -> T) -> T {
        // No panic under this lock leaves the map inconsistent.
        let mut ports = self.ended_until_ms.lock().unwrap_or_else(PoisonError::into_inner);
        run(ports.entry(port).or_insert_with(|| watch::Sender::new(0)))
    }
}

impl Visit {
    /// Returns when the exposure is valid no longer.
    pub async fn ended(mut self) {
        let since_ms = self.since_ms;
        let deadline = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            // The sender lives as long as `sandboxd`.
            _ = self.ended_until_ms.wait_for(|ended| *ended >= since_ms) => {}
            () = deadline => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn validity(since_ms: u64, remaining_ms: Option<u64>) -> Validity {
        Validity {
            since_ms,
            remaining_ms,
        }
    }

    #[tokio::test]
    async fn a_visit_ends_with_its_exposure_and_not_with_an_earlier_one() {
        let visits = Visits::default();
        let mut ended = Box::pin(visits.begin(80, validity(5, None)).unwrap().ended());
        visits.end(80, 4);
        visits.end(81, 9);
        assert!(ended.as_mut().now_or_never().is_none());
        visits.end(80, 5);
        visits.end(80, 3);
        ended.await;
        assert!(visits.begin(80, validity(5, None)).is_none());
        assert!(visits.begin(80, validity(6, None)).is_some());
    }

    #[tokio::test]
    async fn a_visit_ends_at_the_end_of_the_time() {
        let visits = Visits::default();
        visits.begin(80, validity(5, Some(10))).unwrap().ended().await;
    }
}
