//! The end of a boot, known to everybody who waits for it.

use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use sandbox_protocol::pool::News;
use wasm_bindgen_futures::spawn_local;

use super::Core;
use super::lifecycle::{Boot, Need};
use super::platform_error::Kind;
use super::runtime::Ended;

/// Comes when the boot has ended; can be looked at without waiting.
pub type Exit = Shared<LocalBoxFuture<'static, Ended>>;

impl Core {
    /// Watches a boot until it ends, and tells the lifecycle. One watch a boot: a second call gives the same one.
    pub fn watch(self: &Rc<Self>, boot: &Boot) -> Exit {
        if let Some((id, exit)) = &*self.exit.borrow()
            && *id == boot.id
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
            core.log("exit", Some(&boot.id), &ended.words);
            core.abandon_tunnels(Some(boot.id.clone()));
            core.end_grants_of(Some(boot.id.clone()));
            let need = core.lifecycle.borrow().need();
            // The end of an older boot is no news of the sandbox.
            if !matches!(need, Need::Use(now) if now.id != boot.id) {
                core.report(News::Stopped);
            }
            ended
        }
        Err(e) => {
            // Nothing is known of the boot any more: the next request looks.
            core.lifecycle.borrow_mut().connection_lost(&boot.id);
            Ended {
                kind: Kind::Transient,
                words: e.body().error,
            }
        }
    }
}
