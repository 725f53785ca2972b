//! Calls to Durable Objects. Objects in Rust cannot serve JS RPC, so a call is a request; only its
//! path counts.

use std::time::Duration;

use js_sys::Reflect;
use sandbox_protocol::ErrorBody;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Request, RequestInit, RequestRedirect, Response};
use worker::Env;

use crate::connection_error::{self, Delivery};
use crate::error::ApiError;

/// The origin of the requests' URLs.
const ORIGIN: &str = "http://object";

/// Sends a request to the object `name` of a binding, at `path`; `init` has everything else.
///
/// Errors: 503 when the binding is missing; when the object did not answer, the error of
/// [`connection_error::error`].
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
    // An object that is reset during a request (a deploy, a crash) fails the call: the request's
    // outcome is unknown.
    let call = async { JsFuture::from(stub.fetch(&request)?).await };
    let response = call.await.map_err(|thrown| {
        let delivery = delivery(&thrown);
        let text = format!(
            "the {binding} object did not answer: {}",
            worker::Error::from(thrown)
        );
        connection_error::error(&request.method(), path, delivery, text)
    })?;
    response
        .dyn_into()
        .map_err(|_| ApiError::Internal(format!("the {binding} object gave no response")))
}

/// An overloaded object rejects requests before it sees them.
fn delivery(thrown: &JsValue) -> Delivery {
    match Reflect::get(thrown, &"overloaded".into()) {
        Ok(overloaded) if overloaded.is_truthy() => Delivery::NotDelivered,
        _ => Delivery::Unknown,
    }
}

/// A request that is aborted after `timeout`.
pub fn with_timeout(method: &str, timeout: Duration) -> RequestInit {
    let init = RequestInit::new();
    init.set_method(method);
    init.set_signal(Some(&AbortSignal::timeout_with_u32(
        u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
    )));
    init
}

/// Posts a JSON body to the object `name` of a binding. Returns the body of its response. Error: 503
/// when it refuses the call, or does not answer in time.
pub async fn post(
    env: &Env,
    binding: &str,
    name: &str,
    path: &str,
    timeout: Duration,
    body: &impl Serialize,
) -> Result<String, ApiError> {
    let init = with_timeout("POST", timeout);
    init.set_body(&serde_json::to_string(body)?.into());
    let response = fetch(env, binding, name, path, &init).await?;
    let text = text(response.text()).await?;
    if response.ok() {
        return Ok(text);
    }
    let why = serde_json::from_str::<ErrorBody>(&text).map_or(text, |body| body.error);
    Err(ApiError::Unavailable(format!(
        "the {binding} object refused {path}: {why}"
    )))
}

/// The JSON body of a request that [`post`] sent.
pub async fn json_body<T: DeserializeOwned>(request: &Request) -> Result<T, ApiError> {
    Ok(serde_json::from_str(&text(request.text()).await?)?)
}

/// The body of a request or of a response, as text.
pub async fn text(body: Result<js_sys::Promise, JsValue>) -> Result<String, ApiError> {
    Ok(JsFuture::from(body?).await?.as_string().unwrap_or_default())
}

#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    /// The stub as a JavaScript object: `worker::Stub` would wrap request and response once more.
    type StubHandle;

    #[wasm_bindgen(method, catch)]
    fn fetch(this: &StubHandle, request: &Request) -> Result<js_sys::Promise, JsValue>;
}
