//! Calls from the Worker to a Sandbox object.

use sandbox_protocol::{ObjectCall, SandboxId};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, RequestRedirect, Response};
use worker::Env;

use crate::config::SANDBOX_BINDING;
use crate::error::ApiError;

/// What an object's requests are addressed to. Only the path counts.
const ORIGIN: &str = "http://sandbox";

/// Asks the object of `id` for something that it answers itself.
pub async fn call(env: &Env, id: &SandboxId, call: ObjectCall) -> Result<Response, ApiError> {
    let init = RequestInit::new();
    init.set_method("POST");
    fetch(env, id, call.path(), &init).await
}

/// Hands a request to the object of `id`, for `sandboxd`, at `path`. The client's signal goes with it: when the client
/// leaves, the connection to `sandboxd` closes.
pub async fn forward(
    env: &Env,
    id: &SandboxId,
    path: &str,
    request: &Request,
    headers: &Headers,
    body: Option<&wasm_bindgen::JsValue>,
) -> Result<Response, ApiError> {
    let init = RequestInit::new();
    init.set_method(&request.method());
    init.set_headers(headers);
    init.set_signal(Some(&request.signal()));
    if let Some(body) = body {
        init.set_body(body);
    }
    fetch(env, id, path, &init).await
}

async fn fetch(env: &Env, id: &SandboxId, path: &str, init: &RequestInit) -> Result<Response, ApiError> {
    init.set_redirect(RequestRedirect::Manual);
    let request = Request::new_with_str_and_init(&format!("{ORIGIN}{path}"), init)?;
    let namespace = env.durable_object(SANDBOX_BINDING).map_err(|_| {
        ApiError::NotConfigured(format!("the Durable Object binding {SANDBOX_BINDING} is missing"))
    })?;
    let stub: StubHandle = namespace.get_by_name(id.as_str())?.into_rpc();
    // An object that is reset under a request (a deploy, a crash) fails the call: nothing is known of its end.
    let lost = |e| ApiError::Unavailable(format!("the sandbox's object did not answer: {}", describe(&e)));
    let response = JsFuture::from(stub.fetch(&request).map_err(lost)?)
        .await
        .map_err(lost)?;
    response
        .dyn_into()
        .map_err(|_| ApiError::Internal("the sandbox's object gave no response".into()))
}

fn describe(e: &wasm_bindgen::JsValue) -> String {
    worker::Error::from(e.clone()).to_string()
}

#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    /// The stub as JavaScript has it: `worker::Stub` would wrap request and response once more.
    type StubHandle;

    #[wasm_bindgen(method, catch)]
    fn fetch(this: &StubHandle, request: &Request) -> Result<js_sys::Promise, wasm_bindgen::JsValue>;
}
