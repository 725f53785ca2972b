//! Starting a sandbox: check whether one runs, start one if not, wait until its `sandboxd` answers.

use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::pool::SandboxEvent;
use sandbox_protocol::sandboxd::{BOOT_ID_HEADER, HEALTH};
use sandbox_protocol::snapshot::ContainerSnapshot;
use wasm_bindgen::JsValue;
use web_sys::Response;
use worker::Delay;

use super::container::Failure;
use super::exit::Ended;
use super::exit::Exit;
use super::lifecycle::{Boot, Ticket};
use super::platform_error::Kind;
use super::runtime::StartOptions;
use super::{Core, sleep};
use crate::error::ApiError;
use crate::new_id::new_uuid;
use crate::stub;

/// The number of attempts to start a boot that the platform does not start.
const START_ATTEMPTS: u32 = 3;
/// The backoff after the first of them; it grows by as much with each.
const START_BACKOFF: Duration = Duration::from_millis(100);

/// The first backoff between two attempts to reach a boot; each is half as long again as the one before.
const INITIAL_BACKOFF: Duration = Duration::from_millis(10);
/// The maximum backoff.
const MAX_BACKOFF: Duration = Duration::from_millis(200);
/// The timeout of one attempt: a request to a port that is not ready can hang for ever.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The time for which a new boot is probed at the port of this version only, in milliseconds. A
/// boot of an earlier image listens on another port.
const FORMER_PORT_DELAY_MS: f64 = 2000.0;
/// The number of attempts after which, from then on, one is made at the former port.
const FORMER_PORT_INTERVAL: u32 = 4;
/// The timeout of an attempt at the former port.
const FORMER_PORT_TIMEOUT: Duration = Duration::from_millis(300);

/// Whether this transition started the boot, or found it running.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Started,
    Found,
}

/// The reason why the wait for a boot failed.
enum WaitError {
    /// The boot ended.
    Ended(Ended),
    /// Any other error; the boot may still run.
    Error(ApiError),
}

impl WaitError {
    fn into_api_error(self) -> ApiError {
        match self {
            Self::Ended(ended) => ended.error(),
            Self::Error(e) => e,
        }
    }
}

impl<E: Into<ApiError>> From<E> for WaitError {
    fn from(e: E) -> Self {
        Self::Error(e.into())
    }
}

/// Starts the sandbox, as the boot `boot_id` unless one runs already, and updates the lifecycle.
pub async fn start(
    core: Rc<Core>,
    ticket: Ticket,
    inspect_first: bool,
    boot_id: String,
) -> Result<(), ApiError> {
    let started = js_sys::Date::now();
    let mut result = find_or_start(&core, ticket, inspect_first, &boot_id).await;
    if result.is_ok() {
        sleep::prepare(&core).await;
    }
    let is_current = core.lifecycle.borrow().is_current(ticket);
    if !is_current {
        // Whatever the result was, this is the reason. DELETE destroys the boot, if there is one.
        result = Err(destroyed());
    }
    // An integer: formatting a float would add code to the Wasm.
    let took_ms = (js_sys::Date::now() - started) as u64;
    match &result {
        Ok(boot) => {
            core.log("ready", Some(&boot.id), &format!("{took_ms} ms"));
            core.report(SandboxEvent::Started);
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
        .finish_start(ticket, result.as_ref().ok().cloned());
    if result.is_err() && is_current {
        // After the start has ended: only then is its permit given back.
        core.note_failed_start().await;
    }
    result.map(drop)
}

/// The boot that runs already, or else a new one.
async fn find_or_start(
    core: &Rc<Core>,
    ticket: Ticket,
    inspect_first: bool,
    boot_id: &str,
) -> Result<Boot, ApiError> {
    if inspect_first && let Some(boot) = core.runtime.inspect().await? {
        let exit = core.watch(&boot);
        match wait_until_ready(core, ticket, &boot, Origin::Found, &exit).await {
            Ok(boot) => {
                core.resume_mounts(&boot.id).await;
                core.resume_boot(ticket, &boot).await?;
                return Ok(boot);
            }
            // It has ended since the inspection: a new one can start.
            Err(WaitError::Ended(ended)) if ended.kind == Kind::Exited => {}
            Err(error) => return Err(error.into_api_error()),
        }
    }
    sleep::set_first_alarm(core).await;
    if !core.lifecycle.borrow().is_current(ticket) {
        return Err(destroyed());
    }
    core.acquire_permit().await?;
    core.plan_environment().await?;
    let container = core.plan_restore(boot_id, None).await?;
    let is_from_snapshot = container.is_some();
    let started = start_with_retries(core, ticket, boot_id, container).await;
    let (boot, origin) = match started {
        Err(e) if is_from_snapshot && can_start_from_image(core, ticket, &e) => {
            // The platform does not have it any more. The archive has the workspace.
            core.log("container not restored", Some(boot_id), &e.body().error);
            core.runtime.destroy().await?;
            let boot_id = new_uuid()?;
            core.plan_restore(&boot_id, Some(e.body().error)).await?;
            start_with_retries(core, ticket, &boot_id, None).await?
        }
        started => started?,
    };
    match origin {
        Origin::Started => {
            core.has_expired.set(false);
            if core.record().await?.is_some_and(|record| record.is_env_pending) {
                core.set_environment(&boot).await?;
            }
            // Processes that it starts again have the environment.
            core.finish_restore(ticket, &boot).await?;
            core.mark_started().await?;
        }
        Origin::Found => core.resume_boot(ticket, &boot).await?,
    }
    Ok(boot)
}

/// As [`start_boot`]. A start that the platform failed before any program ran is repeated.
async fn start_with_retries(
    core: &Rc<Core>,
    ticket: Ticket,
    boot_id: &str,
    container: Option<ContainerSnapshot>,
) -> Result<(Boot, Origin), ApiError> {
    let mut attempt = 1;
    loop {
        match start_boot(core, ticket, boot_id, container.clone()).await {
            Err(WaitError::Ended(ended))
                if ended.kind == Kind::NotStarted
                    && attempt < START_ATTEMPTS
                    && core.lifecycle.borrow().is_current(ticket) =>
            {
                core.log("start repeated", Some(boot_id), &ended.reason);
            }
            started => return started.map_err(WaitError::into_api_error),
        }
        Delay::from(START_BACKOFF * attempt).await;
        attempt += 1;
    }
}

/// Starts a boot, unless one runs, and waits until it answers.
async fn start_boot(
    core: &Rc<Core>,
    ticket: Ticket,
    boot_id: &str,
    container: Option<ContainerSnapshot>,
) -> Result<(Boot, Origin), WaitError> {
    let settings = core.record().await?.map(|record| record.settings);
    let options = StartOptions {
        env: core.config.sandboxd_env(),
        settings: (&settings.unwrap_or_default()).into(),
        container,
    };
    if !core.lifecycle.borrow().is_current(ticket) {
        return Err(destroyed().into());
    }
    let boot = core.runtime.start(boot_id.to_owned(), options).await?;
    let origin = match boot.id == boot_id {
        true => Origin::Started,
        false => Origin::Found,
    };
    if origin == Origin::Started {
        core.log("start", Some(&boot.id), "");
    }
    let exit = core.watch(&boot);
    let ready = wait_until_ready(core, ticket, &boot, origin, &exit).await;
    Ok((ready?, origin))
}

/// Whether a start from the file system of a snapshot, which failed, is to be repeated from the image.
fn can_start_from_image(core: &Core, ticket: Ticket, error: &ApiError) -> bool {
    let is_about_capacity = matches!(error, ApiError::Capacity(_));
    !is_about_capacity && core.lifecycle.borrow().is_current(ticket)
}

/// Probes `sandboxd` until it answers, it ends, the platform reports a permanent error, a DELETE
/// supersedes the start, or the deadline has passed. A boot that misses the deadline is destroyed,
/// so that the next request does not find it half-started. Returns the boot with the port at which
/// it answered.
async fn wait_until_ready(
    core: &Core,
    ticket: Ticket,
    boot: &Boot,
    origin: Origin,
    exit: &Exit,
) -> Result<Boot, WaitError> {
    let started = js_sys::Date::now();
    let deadline = started + core.config.start_timeout.as_millis() as f64;
    let former = core.runtime.at_former_port(boot);
    let former = former.filter(|_| origin == Origin::Started);
    let mut backoff = INITIAL_BACKOFF;
    for attempt in 1.. {
        let failure = match probe(core, boot, PROBE_TIMEOUT).await {
            Ok(response) if is_of(&response, boot)? => break,
            Ok(response) => format!("something else answers, with {}", response.status()),
            Err(thrown) => retryable_message(&thrown)?,
        };
        if let Some(former) = &former
            && attempt % FORMER_PORT_INTERVAL == 0
            && js_sys::Date::now() >= started + FORMER_PORT_DELAY_MS
            && let Ok(response) = probe(core, former, FORMER_PORT_TIMEOUT).await
            && is_of(&response, former)?
        {
            core.runtime.remember_former_port().await?;
            return Ok(former.clone());
        }
        if !core.lifecycle.borrow().is_current(ticket) {
            return Err(destroyed().into());
        }
        if let Some(ended) = exit.peek() {
            return Err(WaitError::Ended(ended.clone()));
        }
        if js_sys::Date::now() >= deadline {
            core.runtime.destroy().await?;
            let message = format!("the sandbox did not answer in time: {failure}");
            return Err(ApiError::Unavailable(message).into());
        }
        Delay::from(backoff).await;
        backoff = MAX_BACKOFF.min(backoff * 3 / 2);
    }
    Ok(boot.clone())
}

async fn probe(core: &Core, boot: &Boot, timeout: Duration) -> Result<Response, JsValue> {
    let health = stub::with_timeout("GET", timeout);
    core.runtime.fetch(boot, HEALTH, &health).await
}

/// The error of a request that waited for a sandbox which was destroyed meanwhile.
pub fn destroyed() -> ApiError {
    ApiError::Unavailable("the sandbox was destroyed while it started".to_owned())
}

fn is_of(response: &Response, boot: &Boot) -> Result<bool, ApiError> {
    Ok(response.ok() && response.headers().get(BOOT_ID_HEADER)?.as_deref() == Some(&boot.id))
}

/// The message of a failed attempt that is worth a retry; the error of one that is not.
fn retryable_message(thrown: &JsValue) -> Result<String, ApiError> {
    let failure = Failure::from_thrown(thrown);
    match failure.kind {
        Kind::Capacity | Kind::Rate | Kind::Permanent => Err(failure.into_api_error()),
        // The watch of the boot reports an exit, with its code.
        Kind::NotReady | Kind::Transient | Kind::NotStarted | Kind::Exited | Kind::Unknown => {
            Ok(failure.text)
        }
    }
}
