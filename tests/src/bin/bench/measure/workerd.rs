//! The memory of the processes of workerd that serve a bridge of this machine.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use crate::series::Miss;
use crate::side::Side;

use super::processes::{descendants, sum_rss_mib};

/// The time between two readings of the memory.
const INTERVAL: Duration = Duration::from_millis(2);

/// The reason why nothing was measured.
pub const NOT_HERE: Miss = Miss::Unobservable("not on this machine");

/// The processes, and their memory when this was made.
pub struct Workerd {
    pids: Vec<u32>,
    idle_mib: f64,
}

impl Workerd {
    /// The processes of a bridge; `None`: they are not on this machine.
    pub fn of(side: &Side) -> Option<Self> {
        let pids = descendants(side.client.bridge.pid?, "workerd");
        let idle_mib = sum_rss_mib(&pids)?;
        Some(Self { pids, idle_mib })
    }

    /// The result of an operation, and the most memory meanwhile, in mebibytes above idle.
    pub async fn peak_during<T>(&self, operation: impl Future<Output = T>) -> (T, f64) {
        let mut operation = pin!(operation);
        let mut peak = self.idle_mib;
        loop {
            match timeout(INTERVAL, &mut operation).await {
                Ok(result) => return (result, peak - self.idle_mib),
                Err(_) => peak = sum_rss_mib(&self.pids).unwrap_or(peak).max(peak),
            }
        }
    }
}
