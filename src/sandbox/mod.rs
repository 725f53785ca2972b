//! The Sandbox object: one per sandbox. It starts the sandbox, watches it, forwards requests to it,
//! destroys it.
//!
//! - The runtime knows what runs; the object asks it again whenever its own state is unverified:
//!   see [`lifecycle`].
//! - Any number of requests that need the sandbox share one start.
//! - A request that may have an effect is sent once. A read-only request is sent once more, to the
//!   sandbox that then runs, if the connection failed before a response. See [`crate::delivery`].
//! - No borrow of the state crosses an `.await`.

mod container;
mod destroy;
mod exit;
mod forward;
mod grant;
mod lifecycle;
mod local;
mod mount;
mod object;
mod platform_error;
mod runtime;
pub mod s3;
mod secret;
mod sleep;
mod start;
mod stored_list;
mod transition;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::lock::Mutex;
use sandbox_protocol::answer::Running;
use sandbox_protocol::pool::SandboxEvent;
use sandbox_protocol::s3::OBJECT;
use sandbox_protocol::{ObjectCall, SandboxId, SessionId, event, sandboxd};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use web_sys::{Headers, Request, RequestInit, Response};
use worker::{Env, Storage};

use crate::config::Config;
use crate::delivery::{self, Delivery};
use crate::error::ApiError;
use crate::log;
use crate::pool;
use crate::response;
use crate::url;
use container::Failure;
use exit::Exit;
use grant::Grant;
use lifecycle::{Boot, Lifecycle};
use platform_error::Kind;
use runtime::Runtime;
use s3::Signer;
use stored_list::StoredList;
use transition::Transition;
use tunnel::Tunnels;

pub use object::Sandbox;

/// The state of the object.
struct Core {
    id: SandboxId,
    env: Env,
    config: Rc<Config>,
    runtime: Runtime,
    storage: Storage,
    lifecycle: RefCell<Lifecycle>,
    transition: RefCell<Option<Transition>>,
    /// Locked by a task while it reads and then sets the alarm.
    alarm_lock: Mutex<()>,
    /// The id of the watched boot, and its exit.
    exit: RefCell<Option<(String, Exit)>>,
    /// The number of requests forwarded to `sandboxd`.
    uses: Cell<u64>,
    tunnels: Tunnels,
    grants: StoredList<Rc<Grant>>,
    signer: Signer,
}

impl Core {
    async fn handle(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let url = request.url();
        match ObjectCall::from_path(url::path(&url)) {
            Some(ObjectCall::Running) => {
                let running = self.runtime.inspect().await?.is_some();
                response::json(200, &Running { running })
            }
            Some(ObjectCall::Warm) => {
                self.boot().await?;
                response::empty(204)
            }
            Some(ObjectCall::Destroy) => {
                self.destroy().await?;
                response::empty(204)
            }
            Some(ObjectCall::Mount) => self.mount(request).await,
            None => match url::path(&url) {
                sandboxd::UNMOUNT => self.unmount(request).await,
                path if path.starts_with(OBJECT) => self.s3(request).await,
                path => match (sandboxd::tunnel_port(path), sandboxd::session_id(path)) {
                    (Some(port), _) => self.tunnel(port, request).await,
                    (_, Some(session)) => self.delete_session(session, request).await,
                    _ => self.forward(url::path_and_query(&url), request).await,
                },
            },
        }
    }

    /// Forwards a request to `sandboxd`, which is started if necessary.
    async fn forward(self: &Rc<Self>, path: &str, request: &Request) -> Result<Response, ApiError> {
        let mut again = request.body().is_none() && delivery::is_repeatable(&request.method(), path);
        loop {
            let boot = self.boot().await?;
            match self.send(&boot, path, request).await {
                Err(_) if again => again = false,
                result => return result,
            }
        }
    }

    /// Forwards a request to `sandboxd` if it runs. `None`: it does not run, and it was not
    /// started.
    async fn forward_if_running(
        self: &Rc<Self>,
        path: &str,
        request: &Request,
    ) -> Result<Option<Response>, ApiError> {
        let Some(boot) = self.running_boot().await? else {
            return Ok(None);
        };
        match self.send(&boot, path, request).await {
            Ok(response) => Ok(Some(response)),
            Err(e) => match self.runtime.inspect().await {
                // The boot has ended meanwhile.
                Ok(None) => Ok(None),
                _ => Err(e),
            },
        }
    }

    async fn send(self: &Rc<Self>, boot: &Boot, path: &str, request: &Request) -> Result<Response, ApiError> {
        self.uses.set(self.uses.get().wrapping_add(1));
        let method = request.method();
        let init = RequestInit::new();
        init.set_method(&method);
        init.set_headers(&request.headers());
        init.set_signal(Some(&request.signal()));
        if let Some(body) = request.body() {
            init.set_body(&body);
        }
        match self.runtime.fetch(boot, path, &init).await {
            Ok(response) if is_stream(&response)? => {
                let (core, boot) = (self.clone(), boot.clone());
                forward::event_stream(&response, move || core.connection_lost(&boot))
            }
            Ok(response) => self.runtime.forward_response(response),
            Err(e) => {
                self.connection_lost(boot);
                Err(connection_error(&method, path, &e))
            }
        }
    }

    /// Sends a request of the object's own to `sandboxd`, which is started if necessary.
    async fn ask(
        self: &Rc<Self>,
        path: &str,
        method: &str,
        body: Option<&str>,
    ) -> Result<Response, ApiError> {
        self.forward(path, &own_request(method, body)?).await
    }

    /// Sends a request of the object's own to `sandboxd` if it runs. `None`: it does not run, and
    /// it was not started.
    async fn ask_if_running(
        self: &Rc<Self>,
        path: &str,
        method: &str,
        body: Option<&str>,
    ) -> Result<Option<Response>, ApiError> {
        self.forward_if_running(path, &own_request(method, body)?).await
    }

    /// `DELETE` of a session: 404 for a sandbox that does not run.
    async fn delete_session(
        self: &Rc<Self>,
        session: SessionId,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let path = sandboxd::session_url(&session);
        let response = self.forward_if_running(&path, request).await?;
        response.ok_or(ApiError::SessionNotFound(session))
    }

    fn connection_lost(&self, boot: &Boot) {
        self.lifecycle.borrow_mut().connection_lost(&boot.id);
    }

    /// Reports to the pool, in the background.
    fn report(&self, event: SandboxEvent) {
        pool::client::report(&self.env, &self.config, &self.id, event);
    }

    /// Writes one log line; an empty detail is left out.
    fn log(&self, message: &str, boot_id: Option<&str>, detail: &str) {
        let mut line = json!({ "message": message, "sandbox": self.id.as_str(), "boot_id": boot_id });
        if let Value::Object(fields) = &mut line
            && !detail.is_empty()
        {
            fields.insert("detail".into(), detail.into());
        }
        log::info(&line);
    }
}

/// A request of the object's own to `sandboxd`.
fn own_request(method: &str, body: Option<&str>) -> Result<Request, ApiError> {
    let init = RequestInit::new();
    init.set_method(method);
    if let Some(body) = body {
        let headers = Headers::new()?;
        headers.set("content-type", "application/json")?;
        init.set_headers(&headers);
        init.set_body(&JsValue::from(body));
    }
    Ok(Request::new_with_str_and_init("http://sandboxd", &init)?)
}

fn is_stream(response: &Response) -> Result<bool, ApiError> {
    Ok(response
        .headers()
        .get("content-type")?
        .is_some_and(|kind| kind == event::CONTENT_TYPE))
}

fn connection_error(method: &str, path: &str, thrown: &JsValue) -> ApiError {
    let failure = Failure::from_thrown(thrown);
    let delivery = match failure.kind {
        Kind::NotReady => Delivery::NotDelivered,
        _ => Delivery::Unknown,
    };
    let text = format!("the connection to the sandbox was lost: {}", failure.text);
    delivery::error(method, path, delivery, text)
}
