//! The Sandbox object: one per sandbox. Starts it, watches it, hands requests on to it, destroys it.
//!
//! - What runs is asked of the runtime, never remembered beyond doubt: see [`lifecycle`].
//! - Any number of requests that need the sandbox share one start.
//! - A request whose body was handed on is never sent twice. One without a body is sent once more, to the sandbox that
//!   then runs, if the connection failed before there was an answer.
//! - No borrow of the state crosses an `.await`.
#![allow(missing_docs, reason = "the durable_object macro makes methods without docs")]

mod container;
mod exit;
mod grant;
mod lifecycle;
mod local;
mod mount;
mod platform_error;
mod relay;
mod runtime;
pub mod s3;
mod secret;
mod sleep;
mod start;
mod stored;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use sandbox_protocol::answer::Running;
use sandbox_protocol::pool::News;
use sandbox_protocol::s3::OBJECT;
use sandbox_protocol::{ObjectCall, SandboxId, event, sandboxd};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Headers, Request, RequestInit, Response};
use worker::{DurableObject, Env, State, Storage};
use worker_macros::durable_object;

use crate::config::Config;
use crate::error::ApiError;
use crate::new_id::new_uuid;
use crate::pool;
use crate::response;
use crate::url;
use exit::Exit;
use grant::Grant;
use lifecycle::{Boot, Lifecycle, Need};
use runtime::Runtime;
use s3::Signer;
use stored::StoredList;
use tunnel::Tunnels;

/// The Durable Object class.
#[durable_object(alarm)]
pub struct Sandbox {
    state: State,
    env: Env,
    core: RefCell<Option<Rc<Core>>>,
}

/// A start or a destroy that is under way; every request that waits for it holds one.
type Transition = Shared<LocalBoxFuture<'static, Result<(), ApiError>>>;

/// The sandbox as its object knows it.
struct Core {
    id: SandboxId,
    env: Env,
    config: Rc<Config>,
    runtime: Runtime,
    storage: Storage,
    lifecycle: RefCell<Lifecycle>,
    transition: RefCell<Option<Transition>>,
    /// The boot that is watched, and its end.
    exit: RefCell<Option<(String, Exit)>>,
    /// Counts the requests that were handed on.
    uses: Cell<u64>,
    tunnels: Tunnels,
    grants: StoredList<Rc<Grant>>,
    signer: Signer,
}

impl DurableObject for Sandbox {
    fn new(state: State, env: Env) -> Self {
        Self {
            state,
            env,
            core: RefCell::new(None),
        }
    }

    async fn fetch(&self, request: worker::Request) -> worker::Result<worker::Response> {
        let answer = match self.core() {
            Ok(core) => core.answer(request.inner()).await,
            Err(e) => Err(e),
        };
        response::of_object(answer)
    }

    async fn alarm(&self) -> worker::Result<worker::Response> {
        let core = self.core().map_err(|e| e.body().error)?;
        sleep::alarm(&core).await;
        worker::Response::empty()
    }
}

impl Sandbox {
    /// Built by the first request: the constructor cannot fail, a variable can be wrong.
    fn core(&self) -> Result<Rc<Core>, ApiError> {
        if let Some(core) = self.core.borrow().as_ref() {
            return Ok(core.clone());
        }
        let name = self
            .state
            .id()
            .name()
            .ok_or_else(|| ApiError::Internal("the object has no name".into()))?;
        let id = SandboxId::parse(&name)?;
        let config = Config::from_env(&self.env)?;
        let core = Rc::new(Core {
            runtime: Runtime::new(&config, &self.state, &id)?,
            id,
            env: self.env.clone(),
            config,
            storage: self.state.storage(),
            lifecycle: RefCell::default(),
            transition: RefCell::default(),
            exit: RefCell::default(),
            uses: Cell::default(),
            tunnels: Tunnels::default(),
            grants: StoredList::new(grant::KEY),
            signer: Signer::default(),
        });
        *self.core.borrow_mut() = Some(core.clone());
        Ok(core)
    }
}

impl Core {
    async fn answer(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
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
                path => match sandboxd::tunnel_port(path) {
                    Some(port) => self.tunnel(port, request).await,
                    None => self.forward(url::path_and_query(&url), request).await,
                },
            },
        }
    }

    async fn forward(self: &Rc<Self>, path: &str, request: &Request) -> Result<Response, ApiError> {
        self.uses.set(self.uses.get().wrapping_add(1));
        let body = request.body();
        let mut again = body.is_none();
        loop {
            let boot = self.boot().await?;
            let init = RequestInit::new();
            init.set_method(&request.method());
            init.set_headers(&request.headers());
            init.set_signal(Some(&request.signal()));
            if let Some(body) = &body {
                init.set_body(body);
            }
            match self.runtime.fetch(&boot, path, &init).await {
                Ok(response) if is_stream(&response)? => {
                    let core = self.clone();
                    return relay::relay(&response, move || core.connection_lost(&boot));
                }
                Ok(response) => return self.runtime.hand_on(response),
                Err(e) => {
                    self.connection_lost(&boot);
                    if !again {
                        return Err(lost(e));
                    }
                    again = false;
                }
            }
        }
    }

    /// Asks `sandboxd`, which is started if need be.
    async fn ask(
        self: &Rc<Self>,
        path: &str,
        method: &str,
        body: Option<&str>,
    ) -> Result<Response, ApiError> {
        let init = RequestInit::new();
        init.set_method(method);
        if let Some(body) = body {
            let headers = Headers::new()?;
            headers.set("content-type", "application/json")?;
            init.set_headers(&headers);
            init.set_body(&JsValue::from(body));
        }
        let request = Request::new_with_str_and_init("http://sandboxd", &init)?;
        self.forward(path, &request).await
    }

    /// A boot that answers, started if need be.
    async fn boot(self: &Rc<Self>) -> Result<Boot, ApiError> {
        loop {
            let need = self.lifecycle.borrow().need();
            match need {
                Need::Use(boot) => return Ok(boot),
                Need::Start { look_first } => {
                    let boot_id = new_uuid()?;
                    let ticket = self.lifecycle.borrow_mut().start_began();
                    self.clone()
                        .begin(start::start(self.clone(), ticket, look_first, boot_id).boxed_local())
                        .await?;
                }
                Need::Wait => {
                    let transition = self.transition.borrow().clone();
                    if let Some(transition) = transition {
                        transition.await?;
                    }
                }
            }
        }
    }

    async fn destroy(self: &Rc<Self>) -> Result<(), ApiError> {
        let ticket = self.lifecycle.borrow_mut().destroy_began();
        let core = self.clone();
        let destroying = async move {
            let boot_id = core.running_boot_id().await;
            let result = core.runtime.destroy().await;
            core.lifecycle.borrow_mut().end_ended(ticket, result.is_ok());
            if result.is_ok() {
                core.report(News::Stopped);
                core.abandon_tunnels(None);
                core.end_grants_of(None);
            }
            let failure = result.as_ref().err().map(|e| e.body().error);
            core.log(
                "destroy",
                boot_id.as_deref(),
                failure.as_deref().unwrap_or_default(),
            );
            result
        };
        self.begin(destroying.boxed_local()).await
    }

    /// The boot that runs, as far as that is known; for the log.
    async fn running_boot_id(&self) -> Option<String> {
        if let Some((id, exit)) = &*self.exit.borrow() {
            return exit.peek().is_none().then(|| id.clone());
        }
        let boot = self.runtime.inspect().await.ok().flatten();
        boot.map(|boot| boot.id)
    }

    /// Makes a transition the one that others wait for, and waits for it. It goes on by itself when the request that
    /// began it is gone.
    async fn begin(&self, transition: LocalBoxFuture<'static, Result<(), ApiError>>) -> Result<(), ApiError> {
        let transition = transition.shared();
        *self.transition.borrow_mut() = Some(transition.clone());
        let driver = transition.clone();
        spawn_local(async move {
            // Whoever waits for it is told of its errors.
            let _ = driver.await;
        });
        transition.await
    }

    fn connection_lost(&self, boot: &Boot) {
        self.lifecycle.borrow_mut().connection_lost(&boot.id);
    }

    /// Tells the pool, in the background.
    fn report(&self, news: News) {
        pool::client::report(&self.env, &self.config, &self.id, news);
    }

    /// One line for an operator; an empty detail is left out.
    fn log(&self, message: &str, boot_id: Option<&str>, detail: &str) {
        let mut line = json!({ "message": message, "sandbox": self.id.as_str(), "boot_id": boot_id });
        if let Value::Object(fields) = &mut line
            && !detail.is_empty()
        {
            fields.insert("detail".into(), detail.into());
        }
        web_sys::console::log_1(&JsValue::from(line.to_string()));
    }
}

fn is_stream(response: &Response) -> Result<bool, ApiError> {
    Ok(response
        .headers()
        .get("content-type")?
        .is_some_and(|kind| kind == event::CONTENT_TYPE))
}

fn lost(e: JsValue) -> ApiError {
    ApiError::Unavailable(format!(
        "the connection to the sandbox was lost: {}",
        worker::Error::from(e)
    ))
}
