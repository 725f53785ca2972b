//! One boot of a sandbox: a `sandboxd` from its start to its end, as seen from outside its task.
//!
//! One task owns the boot, its [`Supervision`]. It publishes the boot's [`Phase`] and follows the
//! strongest [`DesiredState`] of all callers. A caller that disconnects changes nothing.

use tokio::sync::watch;

use crate::phase::{DesiredState, Phase};
use crate::supervision::Supervision;

/// A boot, seen from outside its task.
#[derive(Debug)]
pub struct Boot {
    id: String,
    phase: watch::Receiver<Phase>,
    desired: watch::Sender<DesiredState>,
}

impl Boot {
    /// A boot with this id, in the phase [`Phase::Starting`], and the state of its task.
    pub fn new(id: String) -> (Self, Supervision) {
        let (phase_sender, phase) = watch::channel(Phase::Starting);
        let (desired, desired_receiver) = watch::channel(DesiredState::Run);
        let supervision = Supervision::new(id.clone(), phase_sender, desired_receiver);
        (Self { id, phase, desired }, supervision)
    }

    /// The boot id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its current phase.
    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// Sets the desired state. A weaker one than an earlier one changes nothing.
    pub fn set_desired(&self, desired: DesiredState) {
        self.desired.send_if_modified(|current| {
            let stronger = desired > *current;
            if stronger {
                *current = desired;
            }
            stronger
        });
    }

    /// Waits until it runs without a stop under way, or has ended.
    pub async fn settled(&self) -> Phase {
        self.wait_for(|phase| !matches!(phase, Phase::Starting | Phase::Stopping(_)))
            .await
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> Phase {
        self.wait_for(Phase::has_ended).await
    }

    async fn wait_for(&self, reached: impl FnMut(&Phase) -> bool) -> Phase {
        let mut phase = self.phase.clone();
        // An error means that the task has ended, which it does only after it has published the
        // end.
        phase
            .wait_for(reached)
            .await
            .map_or_else(|_| self.phase(), |phase| phase.clone())
    }
}

#[cfg(test)]
mod tests {
    use sandbox_protocol::local;

    use super::*;

    #[tokio::test]
    async fn the_desired_state_only_gets_stronger() {
        let (boot, mut supervision) = Boot::new("b".into());
        boot.set_desired(DesiredState::Kill);
        boot.set_desired(DesiredState::Stop);
        assert_eq!(supervision.next_desired().await, DesiredState::Kill);
    }

    #[tokio::test]
    async fn settled_and_ended() {
        let (boot, supervision) = Boot::new("b".into());
        assert_eq!(boot.phase().status(), local::Status::default());
        supervision.finish(Phase::Ended("exit 0".into()));
        assert!(boot.settled().await.has_ended());
        assert_eq!(boot.ended().await.status().last_exit.as_deref(), Some("exit 0"));
    }
}
