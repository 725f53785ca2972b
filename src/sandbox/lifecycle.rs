//! The state machine of a Sandbox object: the state of its sandbox, and the next step of a request.
//! Pure.
//!
//! ```text
//! unknown ──┐
//! absent ───┼─ a request needs it ─▶ starting ── sandboxd answers ─▶ running ── connection lost ─▶ unverified
//!    ▲      │                           │ ▲                            │ ▲                             │
//!    │      │       it has a snapshot ▶ restoring       it is idle ▶ saving                            │
//!    │      └───────────────────────────┼──────────────────────────────┼──── a request needs it ───────┘
//!    └──────── start failed ────────────┴── exit, sleep, DELETE ───────┘
//! ```
//!
//! - An object can be evicted while its sandbox runs, so a new object knows nothing: it inspects
//!   before it starts.
//! - There is one transition (start, sleep, DELETE) at a time; requests wait for it. DELETE
//!   supersedes the others: their outcome is then ignored. A second DELETE joins the first.
//! - Requests wait for a restore: no client sees a workspace that is not whole. They do not wait for
//!   a save, and one that comes during it keeps the sandbox awake.
//! - An event of one boot never changes the state of another.

use super::secret::Secret;

/// A `sandboxd` that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The id of the boot.
    pub id: String,
    /// The origin of its URLs: with the port, without a slash at the end.
    pub origin: String,
    /// The secret that its requests send.
    pub secret: Secret,
}

/// The known state of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Unknown,
    Absent,
    Starting,
    /// A start whose boot answers, and gets its workspace.
    Restoring,
    Running(Boot),
    /// It runs, and its workspace is being saved.
    Saving(Boot),
    Unverified,
    Ending,
    Destroying,
}

/// The next step of a request that needs the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// Send it to this boot.
    Use(Boot),
    /// Start one; with `inspect_first`, only if none runs.
    Start {
        /// Whether a sandbox may be running without the object's knowledge.
        inspect_first: bool,
    },
    /// Wait for the transition that is under way, then ask again.
    Wait,
}

/// Identifies one transition; a transition whose ticket is no longer current has been superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// The state machine.
#[derive(Debug)]
pub struct Lifecycle {
    phase: Phase,
    ticket: Ticket,
    deletes: u64,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: Phase::Unknown,
            ticket: Ticket(0),
            deletes: 0,
        }
    }
}

impl Lifecycle {
    /// The next step of a request that needs the sandbox.
    pub fn next_step(&self) -> NextStep {
        match &self.phase {
            Phase::Running(boot) | Phase::Saving(boot) => NextStep::Use(boot.clone()),
            Phase::Absent => NextStep::Start { inspect_first: false },
            Phase::Unknown | Phase::Unverified => NextStep::Start { inspect_first: true },
            Phase::Starting | Phase::Restoring | Phase::Ending | Phase::Destroying => NextStep::Wait,
        }
    }

    /// Begins a start.
    pub fn begin_start(&mut self) -> Ticket {
        self.supersede(Phase::Starting)
    }

    /// Whether a start is under way.
    pub fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Restoring)
    }

    /// Whether a boot runs for requests, or is started for them.
    pub fn is_used(&self) -> bool {
        self.is_starting() || matches!(self.next_step(), NextStep::Use(_))
    }

    /// The number of DELETEs that have begun.
    pub fn deletes(&self) -> u64 {
        self.deletes
    }

    /// Begins to restore the workspace, within the start with this ticket.
    pub fn begin_restore(&mut self, start: Ticket) {
        if self.is_current(start) && self.phase == Phase::Starting {
            self.phase = Phase::Restoring;
        }
    }

    /// Begins to save the workspace of the boot with this id; `None`: it is not the running boot any
    /// more, or is being saved already.
    pub fn begin_save(&mut self, boot_id: &str) -> Option<Ticket> {
        match &self.phase {
            Phase::Running(boot) if boot.id == boot_id => {
                let saving = Phase::Saving(boot.clone());
                Some(self.supersede(saving))
            }
            _ => None,
        }
    }

    /// Finishes a save, whatever its result is: the sandbox runs on.
    pub fn finish_save(&mut self, ticket: Ticket) {
        if self.is_current(ticket)
            && let Phase::Saving(boot) = &self.phase
        {
            self.phase = Phase::Running(boot.clone());
        }
    }

    /// Begins a DELETE; supersedes a start or a sleep that is under way. `None`: another DELETE is
    /// under way.
    pub fn begin_destroy(&mut self) -> Option<Ticket> {
        if self.phase == Phase::Destroying {
            return None;
        }
        self.deletes += 1;
        Some(self.supersede(Phase::Destroying))
    }

    /// Begins to forget the sandbox, after a check that no boot runs; `None`: it runs, or is in a
    /// transition.
    pub fn begin_forget(&mut self) -> Option<Ticket> {
        let may_be_absent = matches!(self.phase, Phase::Unknown | Phase::Absent | Phase::Unverified);
        may_be_absent.then(|| self.supersede(Phase::Ending))
    }

    /// A request found no future to wait for though a transition is under way: its outcome is lost,
    /// and the next request must inspect the runtime.
    pub fn transition_lost(&mut self) {
        if self.next_step() == NextStep::Wait {
            self.supersede(Phase::Unknown);
        }
    }

    /// Begins to put the boot with this id to sleep; `None`: it is not the running boot any more.
    pub fn begin_sleep(&mut self, boot_id: &str) -> Option<Ticket> {
        self.runs(boot_id).then(|| self.supersede(Phase::Ending))
    }

    /// Begins to stop whatever runs, also a boot that was not verified; `None`: nothing runs, or the
    /// sandbox is in a transition.
    pub fn begin_stop(&mut self) -> Option<Ticket> {
        let may_run = matches!(
            self.phase,
            Phase::Unknown | Phase::Unverified | Phase::Running(_) | Phase::Saving(_)
        );
        may_run.then(|| self.supersede(Phase::Ending))
    }

    fn supersede(&mut self, phase: Phase) -> Ticket {
        self.phase = phase;
        self.ticket.0 += 1;
        self.ticket
    }

    /// Whether the transition with this ticket has not been superseded.
    pub fn is_current(&self, ticket: Ticket) -> bool {
        self.ticket == ticket
    }

    /// Finishes a start: with a boot that answers, or without.
    pub fn finish_start(&mut self, ticket: Ticket, boot: Option<Boot>) {
        if self.is_current(ticket) {
            // A failed start may have left a boot behind.
            self.phase = boot.map_or(Phase::Unknown, Phase::Running);
        }
    }

    /// Finishes a DELETE or a sleep: the sandbox is gone, or that is not certain.
    pub fn finish_end(&mut self, ticket: Ticket, gone: bool) {
        if self.is_current(ticket) {
            self.phase = if gone { Phase::Absent } else { Phase::Unknown };
        }
    }

    /// The boot with this id ended.
    pub fn exited(&mut self, boot_id: &str) {
        if self.runs(boot_id) {
            self.phase = Phase::Absent;
        }
    }

    /// A connection to the boot with this id broke: it may have ended, and the next request must
    /// inspect the runtime.
    pub fn connection_lost(&mut self, boot_id: &str) {
        if self.runs(boot_id) {
            self.phase = Phase::Unverified;
        }
    }

    fn runs(&self, boot_id: &str) -> bool {
        matches!(&self.phase, Phase::Running(boot) | Phase::Saving(boot) if boot.id == boot_id)
    }
}

#[cfg(test)]
mod tests;
