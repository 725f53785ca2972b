//! Calls to Durable Objects. Objects in Rust cannot serve JS RPC, so a call is a request; only its path counts.

use std::time::Duration;

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Request, RequestInit, RequestRedirect, Response};
use worker::Env;

use crate::error::ApiError;

/// What the requests are addressed to.
const ORIGIN: &str = "http://object";

/// Sends a request to the object `name` of a binding, at `path`, everything else as `init` says.
///
/// Errors: 503 when the binding is missing, or when the object did not answer.
pub async fn fetch(
    env: &Env,
    binding: &str,
    name: &str,
    path: &str,
    init: &RequestInit,
) -> Result<Response, ApiError> {
    init.set_redirect(RequestRedirect::Manual);
    let request = Request::new_with_str_and_init(&format!("{ORIGIN}{path}"), init)?;
    let namespace = env
        .durable_object(binding)
        .map_err(|_| ApiError::NotConfigured(format!("the Durable Object binding {binding} is missing")))?;
    let stub: StubHandle = namespace.get_by_name(name)?.into_rpc();
    // An object that is reset under a request (a deploy, a crash) fails the call: nothing is known of its end.
    let lost = |e| {
        ApiError::Unavailable(format!(
            "the {binding} object did not answer: {}",
            worker::Error::from(e)
        ))
    };
    let response = JsFuture::from(stub.fetch(&request).map_err(lost)?)
        .await
        .map_err(lost)?;
    response
        .dyn_into()
        .map_err(|_| ApiError::Internal(format!("the {binding} object gave no response")))
}

/// A request that is given up after `patience`.
pub fn impatient(method: &str, patience: Duration) -> RequestInit {
    let init = RequestInit::new();
    init.set_method(method);
    init.set_signal(Some(&AbortSignal::timeout_with_u32(
        u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
    )));
    init
}

/// The body of a request or of a response, as text.
pub async fn text(body: Result<js_sys::Promise, JsValue>) -> Result<String, ApiError> {
    Ok(JsFuture::from(body?).await?.as_string().unwrap_or_default())
}

#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    /// The stub as JavaScript has it: `worker::Stub` would wrap request and response once more.
    type StubHandle;

    #[wasm_bindgen(method, catch)]
    fn fetch(this: &StubHandle, request: &Request) -> Result<js_sys::Promise, JsValue>;
}
