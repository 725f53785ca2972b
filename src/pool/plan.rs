//! Plans the next step of the pool. Pure: the known state → the plan, and the result of a batch →
//! the history.
//!
//! - There are never more warm sandboxes than the target, and never more sandboxes in all than a
//!   ceiling allows. When clients need the capacity below a configured ceiling, warm ones are
//!   stopped.
//! - Sandboxes are started in batches. A successful batch is followed by the next one at once.
//! - When the platform has no capacity, the number that ran then becomes the learned ceiling.
//!   Capacity that becomes free below it is used at once; at the ceiling, one start is tried every
//!   refresh interval, and when that works the ceiling is forgotten.
//! - After any other failed start, or when a warm sandbox exits, the pool waits a refresh interval
//!   and then tries one start: a broken image never makes it loop.

/// The number of sandboxes that the pool knows, by state. Each holds an instance of the platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Warm: they run and wait to be handed out.
    pub ready: u32,
    /// The pool has asked them to start.
    pub starting: u32,
    /// They run for a client.
    pub assigned: u32,
    /// The pool has asked them to stop.
    pub stopping: u32,
}

impl Counts {
    /// The number that holds an instance of the platform.
    pub fn running(&self) -> u32 {
        self.ready + self.starting + self.assigned + self.stopping
    }
}

/// The results of earlier starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartHistory {
    /// The learned ceiling.
    pub ceiling: Option<Ceiling>,
    /// The time at which a start failed for another reason than capacity; `None` once one has
    /// worked.
    pub failed_at_ms: Option<u64>,
}

/// The number above which the platform had no capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// The number of sandboxes that ran in all.
    pub instances: u32,
    /// The time at which the platform last reported it.
    pub at_ms: u64,
}

/// The input of a plan. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput {
    /// Now.
    pub now_ms: u64,
    /// The target number of warm sandboxes.
    pub target: u32,
    /// The maximum of sandboxes that are started at once.
    pub batch: u32,
    /// The interval between two refills.
    pub interval_ms: u64,
    /// The configured maximum of running sandboxes.
    pub max_instances: Option<u32>,
    /// The sandboxes that there are.
    pub counts: Counts,
    /// The results of earlier starts.
    pub history: StartHistory,
}

/// The next step of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The number of sandboxes to start.
    pub start: u32,
    /// The number of warm sandboxes to stop.
    pub stop: u32,
    /// The time until the next refill if the plan is not carried out; `None` when the pool is off
    /// and has no sandboxes left.
    pub next_refill_ms: Option<u64>,
}

/// The minimum delay of the next refill: an alarm that an alarm sets for now is lost.
const MIN_ALARM_DELAY_MS: u64 = 1;

impl PlanInput {
    /// The next step of the pool.
    pub fn plan(&self) -> Plan {
        let warm = self.counts.ready + self.counts.starting;
        let others = self.counts.assigned + self.counts.stopping;
        let capacity = self
            .max_instances
            .map_or(u32::MAX, |max| max.saturating_sub(others));
        let wanted = self.target.min(capacity);
        // A surplus of starting sandboxes is stopped after their starts have ended.
        let stop = warm.saturating_sub(wanted).min(self.counts.ready);
        let missing = wanted.saturating_sub(warm);
        let (allowed, pause_ms) = self.allowed_starts();
        let start = missing.min(self.batch).min(allowed);
        let next_refill_ms = if start > 0 || stop > 0 {
            Some(MIN_ALARM_DELAY_MS)
        } else if self.target == 0 && warm + self.counts.stopping == 0 {
            None
        } else if missing > 0 && pause_ms > 0 {
            Some(pause_ms.min(self.interval_ms))
        } else {
            Some(self.interval_ms)
        };
        Plan {
            start,
            stop,
            next_refill_ms,
        }
    }

    /// The number of starts that earlier results allow now; if 0, the time until they allow one.
    fn allowed_starts(&self) -> (u32, u64) {
        let running = self.counts.running();
        let tried_at_ms = match (self.history.failed_at_ms, self.learned_ceiling()) {
            (Some(failed), Some(ceiling)) if running >= ceiling.instances => failed.max(ceiling.at_ms),
            (Some(failed), _) => failed,
            (None, Some(ceiling)) if running >= ceiling.instances => ceiling.at_ms,
            (None, Some(ceiling)) => return (ceiling.instances - running, 0),
            (None, None) => return (u32::MAX, 0),
        };
        match tried_at_ms
            .saturating_add(self.interval_ms)
            .saturating_sub(self.now_ms)
        {
            0 => (1, 0),
            pause_ms => (0, pause_ms),
        }
    }

    /// The learned ceiling, unless more sandboxes run now than it allows, which disproves it.
    fn learned_ceiling(&self) -> Option<Ceiling> {
        self.history
            .ceiling
            .filter(|ceiling| self.counts.running() <= ceiling.instances)
    }

    /// The known maximum of running sandboxes: the lower one of the two ceilings.
    pub fn ceiling(&self) -> Option<u32> {
        let learned = self.learned_ceiling().map(|ceiling| ceiling.instances);
        self.max_instances.into_iter().chain(learned).min()
    }
}

/// The results of the starts of one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// The number that run.
    pub started: u32,
    /// The number for which the platform had no capacity.
    pub no_capacity: u32,
    /// The number that failed for another reason.
    pub failed: u32,
}

impl StartHistory {
    /// The history after a batch that began at `started_ms`, when `running` sandboxes are left.
    pub fn after(self, batch: Batch, running: u32, started_ms: u64, now_ms: u64) -> Self {
        let ceiling = if batch.no_capacity > 0 {
            Some(Ceiling {
                instances: running,
                at_ms: now_ms,
            })
        } else {
            self.ceiling.filter(|ceiling| running <= ceiling.instances)
        };
        let failed_at_ms = match batch {
            // A sandbox that exited during the batch counts more than the successful starts.
            Batch { started: 1.., .. } => self.failed_at_ms.filter(|at_ms| *at_ms >= started_ms),
            Batch { failed: 1.., .. } => Some(now_ms),
            _ => self.failed_at_ms,
        };
        Self {
            ceiling,
            failed_at_ms,
        }
    }
}

#[cfg(test)]
mod tests;
