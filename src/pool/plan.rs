//! What the pool should do next. Pure: what is known → what to do, and what a batch of starts has taught.
//!
//! - There are never more warm sandboxes than the target, and never more sandboxes in all than a ceiling allows. When
//!   clients need the room below a configured ceiling, warm ones make way.
//! - Sandboxes are started in batches. A batch that went well is followed by the next one at once.
//! - When the platform has no room, as many as ran then are a learned ceiling. Room that comes free below it is used at
//!   once; at it, one sandbox is tried every refresh interval, and when that works the ceiling is forgotten.
//! - After any other failed start, or when a warm sandbox ends by itself, the pool waits a refresh interval and then
//!   tries one: a broken image never makes it loop.

/// How many sandboxes the pool knows of, by state. Each holds an instance of the platform.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Warm: they run and wait to be handed out.
    pub ready: u32,
    /// The pool has asked them to start.
    pub starting: u32,
    /// They run for a client.
    pub assigned: u32,
    /// The pool has asked them to stop.
    pub stopping: u32,
}

impl Census {
    /// How many hold an instance of the platform.
    pub fn running(&self) -> u32 {
        self.ready + self.starting + self.assigned + self.stopping
    }
}

/// What earlier starts have taught.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// The learned ceiling.
    pub ceiling: Option<Ceiling>,
    /// When a start failed for another reason than room; `None` once one has worked.
    pub failed_at_ms: Option<u64>,
}

/// The platform had no room for more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// How many sandboxes ran in all.
    pub instances: u32,
    /// When the platform last said so.
    pub at_ms: u64,
}

/// All that the plan depends on. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Now.
    pub now_ms: u64,
    /// How many warm sandboxes there should be.
    pub target: u32,
    /// How many may be started at once.
    pub batch: u32,
    /// The time between two looks.
    pub interval_ms: u64,
    /// How many sandboxes may run in all, as configured.
    pub max_instances: Option<u32>,
    /// What there is.
    pub census: Census,
    /// What earlier starts have taught.
    pub memory: Memory,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many new sandboxes to start.
    pub start: u32,
    /// How many warm ones to stop.
    pub stop: u32,
    /// When to look again if nothing of it were done: `None` when there is no pool and nothing left of one.
    pub look_again_ms: Option<u64>,
}

/// The earliest next look: an alarm set for now, by an alarm, is lost.
const SOON_MS: u64 = 1;

impl Known {
    /// What to do.
    pub fn plan(&self) -> Plan {
        let warm = self.census.ready + self.census.starting;
        let others = self.census.assigned + self.census.stopping;
        let room = self
            .max_instances
            .map_or(u32::MAX, |max| max.saturating_sub(others));
        let wanted = self.target.min(room);
        // Those that are starting are stopped, if there are too many of them, once it is known what has become of them.
        let stop = warm.saturating_sub(wanted).min(self.census.ready);
        let missing = wanted.saturating_sub(warm);
        let (most, pause_ms) = self.caution();
        let start = missing.min(self.batch).min(most);
        let look_again_ms = if start > 0 || stop > 0 {
            Some(SOON_MS)
        } else if self.target == 0 && warm + self.census.stopping == 0 {
            None
        } else if missing > 0 && pause_ms > 0 {
            Some(pause_ms.min(self.interval_ms))
        } else {
            Some(self.interval_ms)
        };
        Plan {
            start,
            stop,
            look_again_ms,
        }
    }

    /// How many starts experience allows now, and if none, how long until that changes.
    fn caution(&self) -> (u32, u64) {
        let running = self.census.running();
        let tried_at_ms = match (self.memory.failed_at_ms, self.learned_ceiling()) {
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

    /// The learned ceiling, unless more sandboxes run now than it allows: then it has been refuted.
    fn learned_ceiling(&self) -> Option<Ceiling> {
        self.memory
            .ceiling
            .filter(|ceiling| self.census.running() <= ceiling.instances)
    }

    /// The most sandboxes that can run in all, as far as is known: the lower one of the two ceilings.
    pub fn ceiling(&self) -> Option<u32> {
        let learned = self.learned_ceiling().map(|ceiling| ceiling.instances);
        self.max_instances.into_iter().chain(learned).min()
    }
}

/// How the starts of one batch ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// They run.
    pub started: u32,
    /// The platform had no room for them.
    pub without_room: u32,
    /// They failed for another reason.
    pub failed: u32,
}

impl Memory {
    /// What is remembered after a batch that began at `began_ms`, when `running` sandboxes are left.
    pub fn after(self, batch: Batch, running: u32, began_ms: u64, now_ms: u64) -> Self {
        let ceiling = if batch.without_room > 0 {
            Some(Ceiling {
                instances: running,
                at_ms: now_ms,
            })
        } else {
            self.ceiling.filter(|ceiling| running <= ceiling.instances)
        };
        let failed_at_ms = match batch {
            // One that ended by itself meanwhile speaks against those that have only just come up.
            Batch { started: 1.., .. } => self.failed_at_ms.filter(|at_ms| *at_ms >= began_ms),
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
