//! Starting a sandbox: look whether one runs, start one if not, wait until its `sandboxd` answers.

use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::pool::News;
use sandbox_protocol::sandboxd::{BOOT_ID_HEADER, HEALTH};
use wasm_bindgen::JsValue;
use web_sys::Response;
use worker::Delay;

use super::container::Failure;
use super::exit::Exit;
use super::lifecycle::{Boot, Ticket};
use super::platform_error::Kind;
use super::runtime::Ended;
use super::{Core, sleep};
use crate::error::ApiError;
use crate::stub;

/// The first pause between two tries; each is half as long again as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How long one try may take: a request to a port that is not ready can hang for ever.
const ONE_TRY: Duration = Duration::from_secs(2);

/// Why a boot is not waited for any more.
enum GivenUp {
    /// It ended.
    Ended(Ended),
    /// Anything else; it may still run.
    Error(ApiError),
}

impl<E: Into<ApiError>> From<E> for GivenUp {
    fn from(e: E) -> Self {
        Self::Error(e.into())
    }
}

/// Brings the sandbox up, as the boot `boot_id` unless one runs already, and tells the lifecycle how it went.
pub async fn start(
    core: Rc<Core>,
    ticket: Ticket,
    look_first: bool,
    boot_id: String,
) -> Result<(), ApiError> {
    let began = js_sys::Date::now();
    let result = bring_up(&core, ticket, look_first, &boot_id).await;
    // Whole: fractions would bring the code that formats them.
    let took_ms = (js_sys::Date::now() - began) as u64;
    match &result {
        Ok(boot) => {
            core.log("ready", Some(&boot.id), &format!("{took_ms} ms"));
            core.report(News::Started);
            sleep::prepare(&core).await;
        }
        Err(e) => {
            let message = match e {
                ApiError::Capacity(_) => "capacity",
                _ => "start failed",
            };
            let detail = format!("{} after {took_ms} ms", e.body().error);
            core.log(message, Some(&boot_id), &detail);
        }
    }
    core.lifecycle
        .borrow_mut()
        .start_ended(ticket, result.as_ref().ok().cloned());
    result.map(drop)
}

async fn bring_up(
    core: &Rc<Core>,
    ticket: Ticket,
    look_first: bool,
    boot_id: &str,
) -> Result<Boot, ApiError> {
    if look_first && let Some(boot) = core.runtime.inspect().await? {
        let exit = core.watch(&boot);
        match wait_until_ready(core, ticket, &boot, &exit).await {
            Ok(()) => {
                core.resume_mounts(&boot.id).await;
                return Ok(boot);
            }
            Err(GivenUp::Error(e)) => return Err(e),
            // What ran has ended since it was looked at: there is room for a new one.
            Err(GivenUp::Ended(_)) => {}
        }
    }
    let boot = core
        .runtime
        .start(boot_id.to_owned(), core.config.sandboxd_env())
        .await?;
    core.log("start", Some(&boot.id), "");
    let exit = core.watch(&boot);
    match wait_until_ready(core, ticket, &boot, &exit).await {
        Ok(()) => Ok(boot),
        Err(GivenUp::Ended(ended)) => Err(ended.error()),
        Err(GivenUp::Error(e)) => Err(e),
    }
}

/// Asks `sandboxd` until it answers, it ends, the platform says that it will not come up, a DELETE comes between, or
/// time is up. What did not come up in time is ended, so that the next request finds nothing half-started.
async fn wait_until_ready(core: &Core, ticket: Ticket, boot: &Boot, exit: &Exit) -> Result<(), GivenUp> {
    let deadline = js_sys::Date::now() + core.config.start_timeout.as_millis() as f64;
    let mut pause = FIRST_PAUSE;
    loop {
        let failure = match core
            .runtime
            .fetch(boot, HEALTH, &stub::impatient("GET", ONE_TRY))
            .await
        {
            Ok(response) if is_of(&response, boot)? => return Ok(()),
            Ok(response) => format!("something else answers, with {}", response.status()),
            Err(thrown) => refusal(&thrown)?,
        };
        if !core.lifecycle.borrow().is_current(ticket) {
            return Err(ApiError::Unavailable("the sandbox was destroyed while it started".into()).into());
        }
        if let Some(ended) = exit.peek() {
            return Err(GivenUp::Ended(ended.clone()));
        }
        if js_sys::Date::now() >= deadline {
            core.runtime.destroy().await?;
            let words = format!("the sandbox did not answer in time: {failure}");
            return Err(ApiError::Unavailable(words).into());
        }
        Delay::from(pause).await;
        pause = LONGEST_PAUSE.min(pause * 3 / 2);
    }
}

fn is_of(response: &Response, boot: &Boot) -> Result<bool, ApiError> {
    Ok(response.ok() && response.headers().get(BOOT_ID_HEADER)?.as_deref() == Some(&boot.id))
}

/// The words of a failed try that is worth another; the error of one that is not.
fn refusal(thrown: &JsValue) -> Result<String, ApiError> {
    let failure = Failure::of(thrown);
    match failure.kind {
        Kind::Capacity | Kind::Rate | Kind::Permanent => Err(failure.into_api_error()),
        // An exit is reported by whoever watches the boot, with its code.
        Kind::NotReady | Kind::Transient | Kind::Exited | Kind::Unknown => Ok(failure.text),
    }
}
