//! The exit of a boot, shared by all tasks that wait for it.

use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use sandbox_protocol::pool::SandboxEvent;
use wasm_bindgen_futures::spawn_local;

use super::Core;
use super::lifecycle::{Boot, NextStep};
use super::platform_error::{self, Kind};
use crate::error::ApiError;

/// The end of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The kind of the failure, for a start that waited for the boot.
    pub kind: Kind,
    /// The reason, as text.
    pub reason: String,
}

impl Ended {
    /// The boot exited, for this reason.
    pub fn exited(reason: String) -> Self {
        Self {
            kind: Kind::Exited,
            reason,
        }
    }

    /// The error for a client that waited for the boot.
    pub fn error(&self) -> ApiError {
        platform_error::to_api_error(self.kind, format!("the sandbox ended: {}", self.reason))
    }
}

/// Resolves when the boot has ended; `peek` inspects it without waiting.
pub type Exit = Shared<LocalBoxFuture<'static, Ended>>;

impl Core {
    /// Watches a boot until it ends, and updates the lifecycle. There is one watch per boot: a
    /// second call returns the same, unless that one lost the connection to the runtime.
    pub fn watch(self: &Rc<Self>, boot: &Boot) -> Exit {
        if let Some((id, exit)) = &*self.exit.borrow()
            && *id == boot.id
            && exit.peek().is_none_or(|ended| ended.kind == Kind::Exited)
        {
            return exit.clone();
        }
        let exit = wait(self.clone(), boot.clone()).boxed_local().shared();
        *self.exit.borrow_mut() = Some((boot.id.clone(), exit.clone()));
        let driver = exit.clone();
        spawn_local(async move {
            driver.await;
        });
        exit
    }
}

async fn wait(core: Rc<Core>, boot: Boot) -> Ended {
    match core.runtime.wait_for_exit(&boot).await {
        Ok(ended) => {
            core.lifecycle.borrow_mut().exited(&boot.id);
            core.log("exit", Some(&boot.id), &ended.reason);
            core.abandon_tunnels(boot.id.clone());
            core.remove_grants_of_boot(boot.id.clone());
            let next_step = core.lifecycle.borrow().next_step();
            // The end of an older boot does not concern the pool.
            if !matches!(next_step, NextStep::Use(now) if now.id != boot.id) {
                core.report(SandboxEvent::Stopped);
                core.note_stop().await;
            }
            ended
        }
        Err(e) => {
            // The state of the boot is unknown now: the next request inspects the runtime.
            core.lifecycle.borrow_mut().connection_lost(&boot.id);
            Ended {
                kind: Kind::Transient,
                reason: e.body().error,
            }
        }
    }
}
