//! One start, sleep or DELETE at a time: it is awaited by every request that needs its outcome.

use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use wasm_bindgen_futures::spawn_local;

use super::Core;
use super::lifecycle::{Boot, NextStep};
use super::start::{destroyed, start};
use crate::error::ApiError;
use crate::new_id::new_uuid;

/// A transition that is under way; every request that waits for it holds a clone.
pub type Transition = Shared<LocalBoxFuture<'static, Result<(), ApiError>>>;

impl Core {
    /// A boot that answers, started if necessary. Error: 503 when a DELETE began meanwhile.
    pub async fn boot(self: &Rc<Self>) -> Result<Boot, ApiError> {
        let deletes = self.lifecycle.borrow().deletes();
        loop {
            if self.lifecycle.borrow().deletes() != deletes {
                return Err(destroyed());
            }
            let next_step = self.lifecycle.borrow().next_step();
            match next_step {
                NextStep::Use(boot) => return Ok(boot),
                NextStep::Start { inspect_first } => {
                    let boot_id = new_uuid()?;
                    let ticket = self.lifecycle.borrow_mut().begin_start();
                    self.clone()
                        .begin(start(self.clone(), ticket, inspect_first, boot_id).boxed_local())
                        .await?;
                }
                NextStep::Wait => match self.pending_transition() {
                    Some(transition) => {
                        let is_start = self.lifecycle.borrow().is_starting();
                        let result = transition.await;
                        // The request that began a stop or a DELETE reports its errors.
                        if is_start {
                            result?;
                        }
                    }
                    None => self.lifecycle.borrow_mut().transition_lost(),
                },
            }
        }
    }

    /// The running boot, whether or not it answers yet. Waits for a transition that is under way.
    pub async fn running_boot(&self) -> Result<Option<Boot>, ApiError> {
        let transition = match self.lifecycle.borrow().next_step() {
            NextStep::Use(boot) => return Ok(Some(boot)),
            NextStep::Start { inspect_first: false } => return Ok(None),
            NextStep::Start { inspect_first: true } => None,
            NextStep::Wait => self.pending_transition(),
        };
        if let Some(transition) = transition {
            // The request that began it reports its errors.
            let _ = transition.await;
        }
        self.runtime.inspect().await
    }

    /// As [`running_boot`](Self::running_boot), once its workspace is restored, which the object that
    /// started it may not have finished.
    pub async fn restored_boot(self: &Rc<Self>) -> Result<Option<Boot>, ApiError> {
        if let NextStep::Use(boot) = self.lifecycle.borrow().next_step() {
            return Ok(Some(boot));
        }
        let Some(boot) = self.running_boot().await? else {
            return Ok(None);
        };
        match self.record().await? {
            Some(record) if record.is_to_be_restored(&boot) => self.boot().await.map(Some),
            _ => Ok(Some(boot)),
        }
    }

    /// The id of the running boot, if known; for the log.
    pub async fn running_boot_id(&self) -> Option<String> {
        if let Some((id, exit)) = &*self.exit.borrow() {
            return exit.peek().is_none().then(|| id.clone());
        }
        let boot = self.runtime.inspect().await.ok().flatten();
        boot.map(|boot| boot.id)
    }

    /// The transition that is under way.
    pub fn pending_transition(&self) -> Option<Transition> {
        let transition = self.transition.borrow().clone();
        transition.filter(|transition| transition.peek().is_none())
    }

    /// Makes a transition the one that others wait for, and waits for it. It goes on when the
    /// request that began it is gone.
    pub async fn begin(
        &self,
        transition: LocalBoxFuture<'static, Result<(), ApiError>>,
    ) -> Result<(), ApiError> {
        let transition = transition.shared();
        *self.transition.borrow_mut() = Some(transition.clone());
        let driver = transition.clone();
        spawn_local(async move {
            // The requests that wait for it report its errors.
            let _ = driver.await;
        });
        transition.await
    }
}
