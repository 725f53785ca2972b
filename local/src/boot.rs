//! One boot of a sandbox: a `sandboxd` from its start to its end, as everyone but its owner sees it.
//!
//! One task owns the boot, its [`Supervision`]. It publishes the boot's [`Phase`] and follows the strongest [`Wish`]
//! that anyone has had. A caller that goes away changes nothing.

use sandbox_protocol::local;
use tokio::sync::watch;

use crate::supervision::Supervision;

/// Where a boot stands. It only ever moves on in this order.
#[derive(Debug, Clone)]
pub enum Phase {
    /// Started, and has not answered yet.
    Starting,
    /// Answers.
    Running(local::Boot),
    /// Was asked to end, and has not ended yet.
    Stopping(local::Boot),
    /// Ended after it ran, in words: `exit 0`, `signal 9`. Nothing of it is left.
    Ended(String),
    /// Ended before it answered, and why. Nothing of it is left.
    Failed(String),
}

impl Phase {
    /// Whether the boot is over.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Failed(_))
    }

    /// What is known of the sandbox while this is its latest boot.
    pub fn status(&self) -> local::Status {
        match self.clone() {
            Self::Starting => local::Status::default(),
            Self::Running(boot) | Self::Stopping(boot) => local::Status {
                running: Some(boot),
                last_exit: None,
            },
            Self::Ended(words) | Self::Failed(words) => local::Status {
                running: None,
                last_exit: Some(words),
            },
        }
    }
}

/// What is wanted of a boot, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// That it runs.
    Run,
    /// That it ends: SIGTERM, and SIGKILL when that does not help.
    Stop,
    /// That it ends at once.
    Kill,
}

/// A boot, seen from outside its task.
#[derive(Debug)]
pub struct Boot {
    id: String,
    phase: watch::Receiver<Phase>,
    wish: watch::Sender<Wish>,
}

impl Boot {
    /// A boot with this id, in the phase [`Phase::Starting`], and what its task is made of.
    pub fn new(id: String) -> (Self, Supervision) {
        let (phase_sender, phase) = watch::channel(Phase::Starting);
        let (wish, wish_receiver) = watch::channel(Wish::Run);
        let supervision = Supervision::new(id.clone(), phase_sender, wish_receiver);
        (Self { id, phase, wish }, supervision)
    }

    /// The boot id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// Wants something of it. A weaker wish than an earlier one changes nothing.
    pub fn want(&self, wish: Wish) {
        self.wish.send_if_modified(|current| {
            let stronger = wish > *current;
            if stronger {
                *current = wish;
            }
            stronger
        });
    }

    /// Waits until it runs, with nobody wanting its end, or is over.
    pub async fn settled(&self) -> Phase {
        self.wait_for(|phase| !matches!(phase, Phase::Starting | Phase::Stopping(_)))
            .await
    }

    /// Waits until it is over.
    pub async fn over(&self) -> Phase {
        self.wait_for(Phase::is_over).await
    }

    async fn wait_for(&self, reached: impl FnMut(&Phase) -> bool) -> Phase {
        let mut phase = self.phase.clone();
        // An error means that the task is gone, which it is not before it has published the end.
        phase
            .wait_for(reached)
            .await
            .map_or_else(|_| self.phase(), |phase| phase.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wish_only_grows() {
        let (boot, mut supervision) = Boot::new("b".into());
        boot.want(Wish::Kill);
        boot.want(Wish::Stop);
        assert_eq!(supervision.wish().await, Wish::Kill);
    }

    #[tokio::test]
    async fn settled_and_over() {
        let (boot, supervision) = Boot::new("b".into());
        assert_eq!(boot.phase().status(), local::Status::default());
        supervision.finish(Phase::Ended("exit 0".into()));
        assert!(boot.settled().await.is_over());
        assert_eq!(boot.over().await.status().last_exit.as_deref(), Some("exit 0"));
    }
}
