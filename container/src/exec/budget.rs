//! The memory of all logs together.
//!
//! Logs share the budget of all buffers, and take at most half of it. When it is used up, the
//! output of the process that ended first is dropped, then that of the next: logs of processes that
//! have ended give way to everything else that needs buffers.

use std::sync::Arc;

use sandbox_protocol::limits::Limit;

use crate::quota::{BufferPermit, Buffers, Reclaim};

/// The bytes of a log that need no permit: the logs of most processes are smaller.
const SMALL_LOG: u64 = 4096;

/// The unit in which a permit grows, in bytes.
const STEP: u64 = 64 * 1024;

/// The budget of all logs.
#[derive(Debug, Clone)]
pub struct LogBudget {
    /// Those that all buffers share.
    buffers: Buffers,
    /// The part of them that logs may take.
    share: Buffers,
}

/// The permit of one log.
#[derive(Debug, Default)]
pub struct LogPermit {
    bytes: u64,
    buffers: BufferPermit,
    share: BufferPermit,
}

impl LogBudget {
    /// Half of `buffers`, whose limit is `limit`. `reclaim` drops logs of processes that have
    /// ended.
    pub fn new(buffers: Buffers, limit: Limit, reclaim: Arc<dyn Reclaim>) -> Self {
        let share = Buffers::new(Limit {
            value: limit.value / 2,
            ..limit
        });
        share.set_reclaimer(Arc::clone(&reclaim));
        buffers.set_reclaimer(reclaim);
        Self { buffers, share }
    }

    /// Grows `permit` to at least `bytes`. Returns false, and leaves it, when there is no room.
    pub fn grow(&self, permit: &mut LogPermit, bytes: u64) -> bool {
        let needed = bytes.saturating_sub(SMALL_LOG);
        if needed <= permit.bytes {
            return true;
        }
        let needed = needed.next_multiple_of(STEP);
        let grown = self.share.grow(&mut permit.share, needed).is_ok()
            && self.buffers.grow(&mut permit.buffers, needed).is_ok();
        if grown {
            permit.bytes = needed;
        }
        grown
    }
}

impl LogPermit {
    /// The bytes that it is for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back everything beyond `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let needed = bytes.saturating_sub(SMALL_LOG);
        self.bytes = self.bytes.min(needed);
        self.share.shrink(needed);
        self.buffers.shrink(needed);
    }
}
