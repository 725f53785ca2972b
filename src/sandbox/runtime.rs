//! What runs under a Sandbox object: a container that the platform attached, or a process of this machine. Everything
//! above is the same code for both.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox_protocol::SandboxId;
use sandbox_protocol::local::RUNTIME_URL_VAR;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, RequestInit, RequestRedirect, Response, WorkerGlobalScope};
use worker::{State, Storage};

use super::container::ContainerRuntime;
use super::lifecycle::Boot;
use super::local::LocalRuntime;
use super::platform_error::{self, Kind};
use super::relay;
use crate::config::Config;
use crate::error::ApiError;

/// Where the object remembers the id of its container's boot: the platform only knows that a container runs.
const BOOT_ID_KEY: &str = "boot_id";

/// The runtime of one sandbox.
pub enum Runtime {
    /// The platform's container.
    Container(ContainerRuntime, Storage),
    /// A process of this machine, by `sandbox-local`.
    Local(LocalRuntime),
}

/// How a boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What it means for a start that waited for the boot.
    pub kind: Kind,
    /// In words.
    pub words: String,
}

impl Ended {
    /// It exited, as these words say.
    pub fn by_itself(words: String) -> Self {
        Self {
            kind: Kind::Exited,
            words,
        }
    }

    /// What to tell a client that waited for the boot.
    pub fn error(&self) -> ApiError {
        platform_error::to_api_error(self.kind, format!("the sandbox ended: {}", self.words))
    }
}

impl Runtime {
    /// The runtime that the configuration chooses for the sandbox `id`.
    pub fn new(config: &Config, state: &State, id: &SandboxId) -> Result<Self, ApiError> {
        if let Some(url) = &config.runtime_url {
            return Ok(Self::Local(LocalRuntime::new(url, id, state.storage())));
        }
        let container = ContainerRuntime::of(state, id).ok_or_else(|| {
            ApiError::NotConfigured(format!(
                "there is nothing to run sandboxes on: no container is attached to the Sandbox object, and {RUNTIME_URL_VAR} is not set"
            ))
        })?;
        Ok(Self::Container(container, state.storage()))
    }

    /// The boot that runs now, whether or not it answers yet.
    pub async fn inspect(&self) -> Result<Option<Boot>, ApiError> {
        match self {
            Self::Container(container, _) if !container.is_running() => Ok(None),
            Self::Container(container, storage) => {
                let id = storage.get::<String>(BOOT_ID_KEY).await?;
                Ok(Some(container.boot(id.unwrap_or_default()).await?))
            }
            Self::Local(local) => local.inspect().await,
        }
    }

    /// Starts `sandboxd` with a boot id and further environment. When one runs already, that one is given back.
    pub async fn start(&self, boot_id: String, env: BTreeMap<String, String>) -> Result<Boot, ApiError> {
        match self {
            Self::Container(container, storage) => {
                if let Some(boot) = self.inspect().await? {
                    return Ok(boot);
                }
                // Before the start: an object that is evicted right after it must find the boot that runs.
                storage.put(BOOT_ID_KEY, &boot_id).await?;
                let boot = container.boot(boot_id).await?;
                container.start(&boot, &env)?;
                Ok(boot)
            }
            Self::Local(local) => local.start(boot_id, env).await,
        }
    }

    /// The platform stops a container by itself after so long without a connection: a net below our own sleep.
    pub async fn set_inactivity_timeout(&self, after: Duration) {
        if let Self::Container(container, _) = self
            && let Ok(set) = container.set_inactivity_timeout(after.as_millis() as f64)
        {
            // A platform that does not offer it leaves the alarm alone in charge.
            let _ = JsFuture::from(set).await;
        }
    }

    /// Asks `sandboxd` to end what runs, and itself.
    pub async fn terminate(&self) -> Result<(), ApiError> {
        match self {
            Self::Container(container, _) => container.terminate(),
            Self::Local(local) => local.terminate().await,
        }
    }

    /// Ends whatever runs, at once, and removes what it left. No error when nothing runs.
    pub async fn destroy(&self) -> Result<(), ApiError> {
        match self {
            Self::Container(container, _) => container.destroy().await,
            Self::Local(local) => local.destroy().await,
        }
    }

    /// Waits until the boot has ended; says how.
    pub async fn wait_for_exit(&self, boot: &Boot) -> Result<Ended, ApiError> {
        match self {
            Self::Container(container, _) => Ok(container.wait_for_exit().await),
            Self::Local(local) => local.wait_for_exit(&boot.id).await,
        }
    }

    /// Sends a request to the boot's `sandboxd`: to `path`, everything else as `init` says. The error is the platform's
    /// own, as it was thrown.
    pub async fn fetch(&self, boot: &Boot, path: &str, init: &RequestInit) -> Result<Response, JsValue> {
        init.set_redirect(RequestRedirect::Manual);
        match self {
            Self::Container(container, _) => container.fetch(boot, path, init).await,
            Self::Local(local) => local.fetch(boot, path, init).await,
        }
    }

    /// What a client gets of a response that [`fetch`](Self::fetch) has brought.
    pub fn hand_on(&self, response: Response) -> Result<Response, ApiError> {
        match self {
            Self::Container(..) => relay::widen(response),
            Self::Local(_) => Ok(response),
        }
    }
}

/// The runtime's global `fetch`.
pub async fn global_fetch(request: &Request) -> Result<Response, JsValue> {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    JsFuture::from(scope.fetch_with_request(request))
        .await?
        .dyn_into()
}
