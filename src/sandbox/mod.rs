//! The Sandbox object: one per sandbox. It starts the sandbox, watches it, forwards requests to it,
//! destroys it.
//!
//! - The runtime knows what runs; the object asks it again whenever its own state is unverified:
//!   see [`lifecycle`].
//! - Any number of requests that need the sandbox share one start.
//! - A request that may have an effect is sent once. A read-only request is sent once more, to the
//!   sandbox that then runs, if the connection failed before a response. See [`crate::connection_error`].
//! - No borrow of the state crosses an `.await`.

mod asleep;
mod auto_save;
mod call;
mod code;
mod container;
mod container_snapshot;
mod destroy;
mod exit;
mod exposure;
mod file;
mod forward;
mod grant;
mod info;
mod lifecycle;
mod local;
mod mount;
mod object;
mod permit;
mod platform_error;
mod port;
mod process;
mod record;
mod report;
mod response_body;
mod restore;
mod resume;
mod runtime;
pub mod s3;
mod save;
mod secret;
mod sleep;
mod snapshot;
mod start;
mod stored_list;
mod transition;
mod tunnel;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use futures_util::lock::Mutex;
use sandbox_protocol::answer::Running;
use sandbox_protocol::pool::SandboxEvent;
use sandbox_protocol::preview::{self, Exposure};
use sandbox_protocol::s3::OBJECT;
use sandbox_protocol::snapshot::Restoration;
use sandbox_protocol::{ObjectCall, SandboxId, SessionId, query, sandboxd};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use web_sys::{Headers, Request, RequestInit, Response};
use worker::{Env, Storage};

use crate::config::Config;
use crate::error::ApiError;
use crate::log;
use crate::pool;
use crate::response;
use crate::snapshot::Store;
use crate::url;
use asleep::Asleep;
use exit::Exit;
use grant::Grant;
use lifecycle::{Boot, Lifecycle};
use record::Records;
use runtime::Runtime;
use s3::Signer;
use stored_list::StoredList;
use transition::Transition;
use tunnel::Tunnels;

pub use info::named_id;
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
    exposures: StoredList<Exposure>,
    signer: Signer,
    records: Records,
    /// Locked while a permit is acquired or given back.
    permit_lock: Mutex<()>,
    /// Whether its lifetime has ended since it was last started.
    has_expired: Cell<bool>,
    /// The store of snapshots, once it was used: it caches the key of a day.
    store: OnceCell<Rc<Store>>,
    /// Locked by a save, and by a restore that a client asks for.
    save_lock: Mutex<()>,
    /// Locked while `sandboxd` is given the `env`.
    environment_lock: Mutex<()>,
    /// The number of requests that want the next start to begin without the last snapshot.
    skips_restore: Cell<u32>,
    /// The number of starts that restored a snapshot.
    restores: Cell<u64>,
    /// The last of them.
    last_restored: RefCell<Option<Restoration>>,
    /// The workspace in the store, once it was read.
    asleep: RefCell<Option<Rc<Asleep>>>,
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
                let saves = query::flag(url::query(&url), "save")?;
                self.destroy_by_client(saves).await
            }
            Some(ObjectCall::Mount) => self.mount(request).await,
            Some(ObjectCall::Info) => response::json(200, &self.info().await?),
            Some(ObjectCall::Configure) => response::json(200, &self.configure(request).await?),
            Some(ObjectCall::Stop) => {
                self.stop().await?;
                response::empty(204)
            }
            Some(ObjectCall::Start) => {
                let without = query::value(url::query(&url), "without")?;
                match without.as_deref() {
                    Some("restore") => self.start_without_restore().await?,
                    _ => drop(self.boot().await?),
                }
                response::json(200, &self.info().await?)
            }
            Some(ObjectCall::Snapshot) => self.snapshot(request).await,
            Some(ObjectCall::Restore) => self.restore(request).await,
            Some(ObjectCall::Fork) => response::json(200, &self.fork_source().await?),
            None => match url::path(&url) {
                sandboxd::UNMOUNT => self.unmount(request).await,
                path if path.starts_with(OBJECT) => self.s3(request).await,
                path if sandboxd::is_of_existing_files(&request.method(), path) => {
                    match self.asleep(request, &url).await? {
                        Some(response) => Ok(response),
                        None => self.existing_files(request).await,
                    }
                }
                path if path.starts_with(sandboxd::FILE) => match self.asleep(request, &url).await? {
                    Some(response) => Ok(response),
                    None => self.forward(url::path_and_query(&url), request).await,
                },
                path if sandboxd::is_of_processes(&request.method(), path) => self.process(request).await,
                path if sandboxd::is_of_contexts(&request.method(), path) => self.code(request).await,
                path if path.starts_with(preview::EXPOSURE) => {
                    self.exposure(preview::exposed_port(path), request).await
                }
                path if sandboxd::is_of_ports(path) => self.port(request).await,
                path => match (sandboxd::tunnel_port(path), sandboxd::session_id(path)) {
                    (Some(port), _) => self.tunnel(port, request).await,
                    (_, Some(session)) => self.delete_session(session, request).await,
                    _ => self.forward(url::path_and_query(&url), request).await,
                },
            },
        }
    }

    /// The store of snapshots. Error: 501.
    fn store(&self) -> Result<Rc<Store>, ApiError> {
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        let store = Rc::new(Store::from_env(&self.env, &self.config)?);
        Ok(self.store.get_or_init(|| store).clone())
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
