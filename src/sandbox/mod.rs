//! The Sandbox object: one per sandbox. Starts it, watches it, hands requests on to it, destroys it.
//!
//! - What runs is asked of the runtime, never remembered beyond doubt: see [`lifecycle`].
//! - Any number of requests that need the sandbox share one start.
//! - A request whose body was handed on is never sent twice. One without a body is sent once more, to the sandbox that
//!   then runs, if the connection failed before there was an answer.
//! - No borrow of the state crosses an `.await`.
#![allow(missing_docs, reason = "the durable_object macro makes methods without docs")]

mod lifecycle;
mod relay;
mod runtime;
mod start;

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use sandbox_protocol::{ObjectCall, SandboxId, event};
use serde_json::json;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Request, RequestInit, Response};
use worker::{DurableObject, Env, State};
use worker_macros::durable_object;

use crate::config::Config;
use crate::error::ApiError;
use crate::response;
use crate::url;
use lifecycle::{Boot, Lifecycle, Need};
use runtime::Runtime;

/// The Durable Object class.
#[durable_object(fetch)]
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
    config: Config,
    runtime: Runtime,
    lifecycle: RefCell<Lifecycle>,
    transition: RefCell<Option<Transition>>,
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
        let response = answer
            .or_else(|e| response::error(&e))
            .map_err(|e| e.body().error)?;
        Ok(worker::Response::from(response))
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
            runtime: Runtime::new(&config, &id)?,
            id,
            config,
            lifecycle: RefCell::default(),
            transition: RefCell::default(),
        });
        *self.core.borrow_mut() = Some(core.clone());
        Ok(core)
    }
}

impl Core {
    async fn answer(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let url = request.url();
        let path = url::path(&url);
        match ObjectCall::from_path(path) {
            Some(ObjectCall::Running) => {
                response::json(200, &json!({ "running": self.runtime.inspect().await?.is_ok() }))
            }
            Some(ObjectCall::Destroy) => {
                self.destroy().await?;
                response::empty(204)
            }
            None => self.forward(path, request).await,
        }
    }

    async fn forward(self: &Rc<Self>, path: &str, request: &Request) -> Result<Response, ApiError> {
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
                Ok(response) => return Ok(response),
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

    /// A boot that answers, started if need be.
    async fn boot(self: &Rc<Self>) -> Result<Boot, ApiError> {
        loop {
            let need = self.lifecycle.borrow().need();
            match need {
                Need::Use(boot) => return Ok(boot),
                Need::Start { look_first } => {
                    let ticket = self.lifecycle.borrow_mut().start_began();
                    self.clone()
                        .begin(start::start(self.clone(), ticket, look_first).boxed_local())
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
            let result = core.runtime.destroy().await;
            core.lifecycle.borrow_mut().destroy_ended(ticket, result.is_ok());
            core.log("destroy", None, result.as_ref().err().map(|e| e.body().error));
            result
        };
        self.begin(destroying.boxed_local()).await
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

    /// One line for an operator.
    fn log(&self, message: &str, boot_id: Option<&str>, detail: Option<String>) {
        let line =
            json!({ "message": message, "sandbox": self.id.as_str(), "boot_id": boot_id, "detail": detail });
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
