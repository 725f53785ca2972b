//! Starting a sandbox: look whether one runs, start one if not, wait until its `sandboxd` answers.

use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::sandboxd::{BOOT_ID_HEADER, HEALTH};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::WorkerGlobalScope;
use worker::Delay;

use super::Core;
use super::lifecycle::{Boot, Ticket};
use super::runtime::{Stopped, impatient_get};
use crate::error::ApiError;

/// The first pause between two tries; each is half as long again as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How long one try may take: a request to a port that is not ready can hang for ever.
const ONE_TRY: Duration = Duration::from_secs(2);

/// Brings the sandbox up and tells the lifecycle how it went.
pub async fn start(core: Rc<Core>, ticket: Ticket, look_first: bool) -> Result<(), ApiError> {
    let began = js_sys::Date::now();
    let result = bring_up(&core, ticket, look_first).await;
    let took = format!("{} ms", js_sys::Date::now() - began);
    match &result {
        Ok(boot) => {
            core.log("ready", Some(&boot.id), Some(took));
            watch(&core, boot.id.clone());
        }
        Err(e) => core.log(
            "start failed",
            None,
            Some(format!("{} after {took}", e.body().error)),
        ),
    }
    core.lifecycle
        .borrow_mut()
        .start_ended(ticket, result.as_ref().ok().cloned());
    result.map(drop)
}

async fn bring_up(core: &Rc<Core>, ticket: Ticket, look_first: bool) -> Result<Boot, ApiError> {
    if look_first
        && let Ok(boot) = core.runtime.inspect().await?
        && wait_until_ready(core, ticket, &boot).await?.is_ok()
    {
        return Ok(boot);
    }
    let boot = core.runtime.start(new_boot_id()?).await?;
    core.log("start", Some(&boot.id), None);
    match wait_until_ready(core, ticket, &boot).await? {
        Ok(()) => Ok(boot),
        Err(stopped) => Err(ApiError::StartFailed(stopped.words())),
    }
}

/// Asks `sandboxd` until it answers. `Ok(Err)`: the boot ended meanwhile. `Err`: it did not answer in time, or a DELETE
/// came between.
async fn wait_until_ready(core: &Core, ticket: Ticket, boot: &Boot) -> Result<Result<(), Stopped>, ApiError> {
    let deadline = js_sys::Date::now() + core.config.start_timeout.as_millis() as f64;
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = core.runtime.fetch(boot, HEALTH, &impatient_get(ONE_TRY)).await;
        if let Ok(response) = answer
            && response.ok()
            && response.headers().get(BOOT_ID_HEADER)?.as_deref() == Some(&boot.id)
        {
            return Ok(Ok(()));
        }
        if !core.lifecycle.borrow().is_current(ticket) {
            return Err(ApiError::Unavailable(
                "the sandbox was destroyed while it started".into(),
            ));
        }
        match core.runtime.inspect().await? {
            Ok(now) if now.id == boot.id => {}
            Ok(_) => return Ok(Err(Stopped::default())),
            Err(stopped) => return Ok(Err(stopped)),
        }
        if js_sys::Date::now() >= deadline {
            return Err(ApiError::Unavailable("the sandbox did not answer in time".into()));
        }
        Delay::from(pause).await;
        pause = LONGEST_PAUSE.min(pause * 3 / 2);
    }
}

/// Tells the lifecycle when the boot ends.
fn watch(core: &Rc<Core>, boot_id: String) {
    let core = core.clone();
    spawn_local(async move {
        match core.runtime.wait_for_exit(&boot_id).await {
            Ok(stopped) => {
                core.lifecycle.borrow_mut().exited(&boot_id);
                core.log("exit", Some(&boot_id), Some(stopped.words()));
            }
            // Nothing is known of the boot any more: the next request looks.
            Err(_) => core.lifecycle.borrow_mut().connection_lost(&boot_id),
        }
    });
}

fn new_boot_id() -> Result<String, ApiError> {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    Ok(scope.crypto()?.random_uuid())
}
