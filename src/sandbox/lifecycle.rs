//! What a Sandbox object knows of its sandbox, and what a request must do next. Pure.
//!
//! ```text
//! unknown ──┐
//! absent ───┼─ a request needs it ─▶ starting ── sandboxd answers ─▶ running ── connection lost ─▶ doubtful
//!    ▲      └───────────────────────────┼──────────────────────────────┼──── a request needs it ───────┘
//!    └──────── start failed ────────────┴── exit, sleep, DELETE ───────┘
//! ```
//!
//! - An object is evicted while its sandbox runs, so a new object knows nothing: it looks before it starts.
//! - One transition (start, sleep, DELETE) at a time; requests wait for it. DELETE supersedes the others: their outcome
//!   then counts for nothing.
//! - News of one boot never changes what is known of another.

use super::secret::Secret;

/// A `sandboxd` that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The id of the boot.
    pub id: String,
    /// Where its requests go: the start of a URL, without a slash at the end.
    pub origin: String,
    /// What its requests show.
    pub secret: Secret,
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Unknown,
    Absent,
    Starting,
    Running(Boot),
    Doubtful,
    Ending,
}

/// What a request that needs the sandbox must do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Send it to this boot.
    Use(Boot),
    /// Start one; when `look_first`, only if none runs.
    Start {
        /// Whether a sandbox may be running that the object does not know of.
        look_first: bool,
    },
    /// Wait for the transition that is under way, then ask again.
    Wait,
}

/// Names one start; a start whose ticket is no longer current has been superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// The state machine.
#[derive(Debug)]
pub struct Lifecycle {
    phase: Phase,
    ticket: Ticket,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: Phase::Unknown,
            ticket: Ticket(0),
        }
    }
}

impl Lifecycle {
    /// What a request that needs the sandbox must do next.
    pub fn need(&self) -> Need {
        match &self.phase {
            Phase::Running(boot) => Need::Use(boot.clone()),
            Phase::Absent => Need::Start { look_first: false },
            Phase::Unknown | Phase::Doubtful => Need::Start { look_first: true },
            Phase::Starting | Phase::Ending => Need::Wait,
        }
    }

    /// A start begins.
    pub fn start_began(&mut self) -> Ticket {
        self.supersede(Phase::Starting)
    }

    /// DELETE begins; a transition that is under way is superseded.
    pub fn destroy_began(&mut self) -> Ticket {
        self.supersede(Phase::Ending)
    }

    /// The boot with this id is put to sleep, unless it is not the one that runs any more.
    pub fn sleep_began(&mut self, boot_id: &str) -> Option<Ticket> {
        self.runs(boot_id).then(|| self.supersede(Phase::Ending))
    }

    fn supersede(&mut self, phase: Phase) -> Ticket {
        self.phase = phase;
        self.ticket.0 += 1;
        self.ticket
    }

    /// Whether the transition with this ticket still counts.
    pub fn is_current(&self, ticket: Ticket) -> bool {
        self.ticket == ticket
    }

    /// A start ended: with a boot that answers, or without.
    pub fn start_ended(&mut self, ticket: Ticket, boot: Option<Boot>) {
        if self.is_current(ticket) {
            // What a failed start left behind is not known.
            self.phase = boot.map_or(Phase::Unknown, Phase::Running);
        }
    }

    /// DELETE or sleep came to its end: the sandbox is gone, or that is not certain.
    pub fn end_ended(&mut self, ticket: Ticket, gone: bool) {
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

    /// A connection to the boot with this id broke: it may have ended, and the next request must look.
    pub fn connection_lost(&mut self, boot_id: &str) {
        if self.runs(boot_id) {
            self.phase = Phase::Doubtful;
        }
    }

    fn runs(&self, boot_id: &str) -> bool {
        matches!(&self.phase, Phase::Running(boot) if boot.id == boot_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(id: &str) -> Boot {
        Boot {
            id: id.to_owned(),
            origin: format!("http://{id}"),
            secret: Secret::default(),
        }
    }

    fn running(id: &str) -> Lifecycle {
        let mut life = Lifecycle::default();
        let ticket = life.start_began();
        life.start_ended(ticket, Some(boot(id)));
        life
    }

    #[test]
    fn a_new_object_looks_before_it_starts_and_starts_once() {
        let mut life = Lifecycle::default();
        assert_eq!(life.need(), Need::Start { look_first: true });
        let ticket = life.start_began();
        assert_eq!(life.need(), Need::Wait);
        life.start_ended(ticket, Some(boot("a")));
        assert_eq!(life.need(), Need::Use(boot("a")));
    }

    #[test]
    fn a_failed_start_is_tried_again_by_the_next_request() {
        let mut life = Lifecycle::default();
        let ticket = life.start_began();
        life.start_ended(ticket, None);
        assert_eq!(life.need(), Need::Start { look_first: true });
    }

    #[test]
    fn an_exit_is_known_and_a_lost_connection_is_a_doubt() {
        let mut life = running("a");
        life.exited("a");
        assert_eq!(life.need(), Need::Start { look_first: false });
        let mut life = running("a");
        life.connection_lost("a");
        assert_eq!(life.need(), Need::Start { look_first: true });
    }

    #[test]
    fn news_of_an_older_boot_changes_nothing() {
        let mut life = running("b");
        life.exited("a");
        life.connection_lost("a");
        assert_eq!(life.need(), Need::Use(boot("b")));
    }

    #[test]
    fn delete_supersedes_a_start() {
        let mut life = Lifecycle::default();
        let start = life.start_began();
        let destroy = life.destroy_began();
        assert!(!life.is_current(start));
        life.start_ended(start, Some(boot("a")));
        assert_eq!(life.need(), Need::Wait, "the start's outcome counts for nothing");
        life.end_ended(destroy, true);
        assert_eq!(life.need(), Need::Start { look_first: false });
    }

    #[test]
    fn requests_wait_for_a_sandbox_that_goes_to_sleep_and_then_start_it() {
        let mut life = running("a");
        assert_eq!(life.sleep_began("older"), None);
        let sleep = life.sleep_began("a").unwrap();
        assert_eq!(life.need(), Need::Wait);
        life.exited("a");
        assert_eq!(life.need(), Need::Wait, "the transition says when it is over");
        life.end_ended(sleep, true);
        assert_eq!(life.need(), Need::Start { look_first: false });
        assert_eq!(life.sleep_began("a"), None, "what does not run cannot sleep");
    }

    #[test]
    fn a_failed_delete_leaves_a_doubt_and_a_stale_one_nothing() {
        let mut life = running("a");
        let first = life.destroy_began();
        life.end_ended(first, false);
        assert_eq!(life.need(), Need::Start { look_first: true });
        let start = life.start_began();
        life.end_ended(first, true);
        life.start_ended(start, Some(boot("b")));
        assert_eq!(life.need(), Need::Use(boot("b")));
    }
}
