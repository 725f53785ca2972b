//! The state machine of a Sandbox object: the state of its sandbox, and the next step of a request.
//! Pure.
//!
//! ```text
//! unknown ──┐
//! absent ───┼─ a request needs it ─▶ starting ── sandboxd answers ─▶ running ── connection lost ─▶ unverified
//!    ▲      └───────────────────────────┼──────────────────────────────┼──── a request needs it ───────┘
//!    └──────── start failed ────────────┴── exit, sleep, DELETE ───────┘
//! ```
//!
//! - An object can be evicted while its sandbox runs, so a new object knows nothing: it inspects
//!   before it starts.
//! - There is one transition (start, sleep, DELETE) at a time; requests wait for it. DELETE
//!   supersedes the others: their outcome is then ignored. A second DELETE joins the first.
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
    Running(Boot),
    Unverified,
    Ending,
    Destroying,
}

/// The next step of a request that needs the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
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
    /// The next step of a request that needs the sandbox.
    pub fn need(&self) -> Need {
        match &self.phase {
            Phase::Running(boot) => Need::Use(boot.clone()),
            Phase::Absent => Need::Start { inspect_first: false },
            Phase::Unknown | Phase::Unverified => Need::Start { inspect_first: true },
            Phase::Starting | Phase::Ending | Phase::Destroying => Need::Wait,
        }
    }

    /// Begins a start.
    pub fn begin_start(&mut self) -> Ticket {
        self.supersede(Phase::Starting)
    }

    /// Whether a start is under way.
    pub fn is_starting(&self) -> bool {
        self.phase == Phase::Starting
    }

    /// Begins a DELETE; supersedes a start or a sleep that is under way. `None`: another DELETE is
    /// under way.
    pub fn begin_destroy(&mut self) -> Option<Ticket> {
        (self.phase != Phase::Destroying).then(|| self.supersede(Phase::Destroying))
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
        if self.need() == Need::Wait {
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
        let may_run = matches!(self.phase, Phase::Unknown | Phase::Unverified | Phase::Running(_));
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
        let ticket = life.begin_start();
        life.finish_start(ticket, Some(boot(id)));
        life
    }

    #[test]
    fn a_new_object_inspects_before_it_starts_and_starts_once() {
        let mut life = Lifecycle::default();
        assert_eq!(life.need(), Need::Start { inspect_first: true });
        let ticket = life.begin_start();
        assert_eq!(life.need(), Need::Wait);
        life.finish_start(ticket, Some(boot("a")));
        assert_eq!(life.need(), Need::Use(boot("a")));
    }

    #[test]
    fn a_failed_start_is_tried_again_by_the_next_request() {
        let mut life = Lifecycle::default();
        let ticket = life.begin_start();
        life.finish_start(ticket, None);
        assert_eq!(life.need(), Need::Start { inspect_first: true });
    }

    #[test]
    fn after_an_exit_the_state_is_known_and_after_a_lost_connection_it_is_not() {
        let mut life = running("a");
        life.exited("a");
        assert_eq!(life.need(), Need::Start { inspect_first: false });
        let mut life = running("a");
        life.connection_lost("a");
        assert_eq!(life.need(), Need::Start { inspect_first: true });
    }

    #[test]
    fn an_event_of_an_older_boot_changes_nothing() {
        let mut life = running("b");
        life.exited("a");
        life.connection_lost("a");
        assert_eq!(life.need(), Need::Use(boot("b")));
    }

    #[test]
    fn delete_supersedes_a_start() {
        let mut life = Lifecycle::default();
        let start = life.begin_start();
        let destroy = life.begin_destroy().unwrap();
        assert!(!life.is_current(start));
        assert_eq!(life.begin_destroy(), None, "a second DELETE joins the first");
        life.finish_start(start, Some(boot("a")));
        assert_eq!(life.need(), Need::Wait, "the start's outcome is ignored");
        life.finish_end(destroy, true);
        assert_eq!(life.need(), Need::Start { inspect_first: false });
    }

    #[test]
    fn requests_wait_for_a_sandbox_that_goes_to_sleep_and_then_start_it() {
        let mut life = running("a");
        assert_eq!(life.begin_sleep("older"), None);
        let sleep = life.begin_sleep("a").unwrap();
        assert_eq!(life.need(), Need::Wait);
        life.exited("a");
        assert_eq!(
            life.need(),
            Need::Wait,
            "the transition decides when it has ended"
        );
        life.finish_end(sleep, true);
        assert_eq!(life.need(), Need::Start { inspect_first: false });
        assert_eq!(life.begin_sleep("a"), None, "what does not run cannot sleep");
    }

    #[test]
    fn what_may_run_is_stopped() {
        for mut life in [Lifecycle::default(), running("a")] {
            let stop = life.begin_stop().unwrap();
            assert_eq!(life.need(), Need::Wait);
            assert_eq!(life.begin_stop(), None);
            life.finish_end(stop, true);
            assert_eq!(life.begin_stop(), None);
        }
    }

    #[test]
    fn a_failed_delete_leaves_the_state_unverified_and_a_superseded_one_changes_nothing() {
        let mut life = running("a");
        let first = life.begin_destroy().unwrap();
        life.finish_end(first, false);
        assert_eq!(life.need(), Need::Start { inspect_first: true });
        let start = life.begin_start();
        life.finish_end(first, true);
        life.finish_start(start, Some(boot("b")));
        assert_eq!(life.need(), Need::Use(boot("b")));
    }

    #[test]
    fn a_lost_transition_leaves_the_state_unverified() {
        let mut life = running("a");
        life.transition_lost();
        assert_eq!(life.need(), Need::Use(boot("a")), "there is none");
        let destroy = life.begin_destroy().unwrap();
        life.transition_lost();
        assert_eq!(life.need(), Need::Start { inspect_first: true });
        life.finish_end(destroy, true);
        assert_eq!(life.need(), Need::Start { inspect_first: true });
    }

    #[test]
    fn only_a_sandbox_that_may_be_absent_is_forgotten() {
        let mut life = running("a");
        assert_eq!(life.begin_forget(), None);
        life.exited("a");
        let forget = life.begin_forget().unwrap();
        assert_eq!(life.need(), Need::Wait);
        assert_eq!(life.begin_forget(), None);
        life.finish_end(forget, true);
        assert_eq!(life.need(), Need::Start { inspect_first: false });
    }
}
