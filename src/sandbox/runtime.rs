//! The runtime of a Sandbox object: a container that the platform attached, or a process of this
//! machine. All other code is the same for both.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox_protocol::SandboxId;
use sandbox_protocol::local::RUNTIME_URL_VAR;
use sandbox_protocol::sandbox::Settings;
use sandbox_protocol::sandboxd::{FORMER_PORT, PORT};
use sandbox_protocol::snapshot::ContainerSnapshot;
use wasm_bindgen::JsValue;
use web_sys::{RequestInit, RequestRedirect, Response};
use worker::{State, Storage};

use super::container::{self, ContainerRuntime};
use super::exit::Ended;
use super::lifecycle::Boot;
use super::local::LocalRuntime;
use super::record::StartSettings;
use super::response_body;
use crate::config::Config;
use crate::error::ApiError;

/// The storage key of the id of the container's boot: the platform only knows that a container
/// runs.
pub const BOOT_ID_KEY: &str = "boot_id";
/// The storage key of the port of that boot's `sandboxd`. A version that knew only [`FORMER_PORT`]
/// stored none.
pub const PORT_KEY: &str = "port";

/// The maximum of sandboxes where the platform has none.
const DEFAULT_MAX_SANDBOXES: u32 = 20;

/// The options of a start.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// The environment of `sandboxd`, the boot id and the secret aside.
    pub env: BTreeMap<String, String>,
    /// The settings of the sandbox that apply to a start.
    pub settings: StartSettings,
    /// The file system to start from, in the place of the image's.
    pub container: Option<ContainerSnapshot>,
}

/// The runtime of one sandbox.
pub enum Runtime {
    /// The platform's container.
    Container(ContainerRuntime, Storage),
    /// A process of this machine, run by `sandbox-local`.
    Local(LocalRuntime),
}

impl Runtime {
    /// The runtime that the configuration chooses for the sandbox `id`.
    pub fn new(config: &Config, state: &State, id: &SandboxId) -> Result<Self, ApiError> {
        if let Some(url) = &config.runtime_url {
            return Ok(Self::Local(LocalRuntime::new(url, config, id, state.storage())));
        }
        let container = ContainerRuntime::from_state(state, config, id).ok_or_else(|| {
            ApiError::NotConfigured(format!(
                "there is nothing to run sandboxes on: no container is attached to the Sandbox object, and {RUNTIME_URL_VAR} is not set"
            ))
        })?;
        Ok(Self::Container(container, state.storage()))
    }

    /// The running boot, whether or not it answers yet.
    pub async fn inspect(&self) -> Result<Option<Boot>, ApiError> {
        match self {
            Self::Container(container, _) if !container.is_running() => Ok(None),
            Self::Container(container, storage) => {
                let id = storage.get::<String>(BOOT_ID_KEY).await?;
                let port = storage.get::<u16>(PORT_KEY).await?.unwrap_or(FORMER_PORT);
                Ok(Some(container.boot(id.unwrap_or_default(), port).await?))
            }
            Self::Local(local) => local.inspect().await,
        }
    }

    /// Whether sandboxes can have these settings. Error: 501.
    pub fn check(&self, settings: &Settings) -> Result<(), ApiError> {
        match self {
            Self::Container(container, _) => container.check(settings),
            Self::Local(_) if settings.image.is_some() || settings.instance.is_some() => {
                Err(ApiError::NotSupported(
                    "image and instance are not supported here: sandboxes on this machine have its files and its memory"
                        .into(),
                ))
            }
            Self::Local(_) => Ok(()),
        }
    }

    /// The maximum of sandboxes that Sandbar itself keeps; `None`: the platform has one.
    pub fn max_sandboxes(&self, config: &Config) -> Option<u32> {
        match self {
            Self::Container(container, _) if container.has_images() => config
                .max_sandboxes
                .or(Some(DEFAULT_MAX_SANDBOXES))
                .filter(|max| *max > 0),
            _ => config.max_sandboxes.filter(|max| *max > 0),
        }
    }

    /// Starts `sandboxd` with a boot id. Returns the running boot instead
    /// if there is one.
    pub async fn start(&self, boot_id: String, options: StartOptions) -> Result<Boot, ApiError> {
        match self {
            Self::Container(container, storage) => {
                if let Some(boot) = self.inspect().await? {
                    return Ok(boot);
                }
                // Before the start: an object that is evicted right after it must find the running
                // boot.
                storage.put(BOOT_ID_KEY, &boot_id).await?;
                storage.put(PORT_KEY, PORT).await?;
                let boot = container.boot(boot_id, PORT).await?;
                container.start(&boot, &options).await?;
                Ok(boot)
            }
            Self::Local(local) => local.start(boot_id, options).await,
        }
    }

    /// The platform's name of an image of the deployment, if file systems of its containers can be
    /// kept. `None`: they cannot.
    pub fn kept_image(&self, image: Option<&str>) -> Result<Option<String>, ApiError> {
        match self {
            Self::Container(container, _) => container.kept_image(image),
            Self::Local(_) => Ok(None),
        }
    }

    /// Keeps the file system of the container, which was started with this image: the platform's
    /// name of it. `None`: not supported here.
    pub async fn keep_container(
        &self,
        image: String,
        name: &str,
    ) -> Result<Option<ContainerSnapshot>, ApiError> {
        match self {
            Self::Container(container, _) => container.keep(image, name).await.map(Some),
            Self::Local(_) => Ok(None),
        }
    }

    /// Sets the time without a connection after which the platform stops a container: a fallback
    /// for the object's own sleep.
    pub async fn set_inactivity_timeout(&self, after: Duration) {
        if let Self::Container(container, _) = self {
            // On a platform without it, only the object's alarm puts the sandbox to sleep.
            let _ = container.set_inactivity_timeout(after).await;
        }
    }

    /// Asks `sandboxd` to end its commands, and itself.
    pub async fn terminate(&self) -> Result<(), ApiError> {
        match self {
            Self::Container(container, _) => container.terminate().await,
            Self::Local(local) => local.terminate().await,
        }
    }

    /// Forgets the key from which the boots' secrets are derived; the caller deletes it from the
    /// storage.
    pub fn forget_secrets(&self) {
        match self {
            Self::Container(container, _) => container.forget_secrets(),
            Self::Local(local) => local.forget_secrets(),
        }
    }

    /// Kills the running boot and removes its files. No error when none runs; 503 when the platform
    /// does not answer in time: then the boot may still run.
    pub async fn destroy(&self) -> Result<(), ApiError> {
        match self {
            Self::Container(container, _) => container.destroy().await,
            Self::Local(local) => local.destroy().await,
        }
    }

    /// Waits until the boot has ended; returns how.
    pub async fn wait_for_exit(&self, boot: &Boot) -> Result<Ended, ApiError> {
        match self {
            Self::Container(container, _) => Ok(container.wait_for_exit().await),
            Self::Local(local) => local.wait_for_exit(&boot.id).await,
        }
    }

    /// The same boot, of an image from before this Worker, whose `sandboxd` listens on
    /// [`FORMER_PORT`]. `None`: this runtime has no images. Only for a boot that has run no command
    /// yet: a command could listen there, and would get the secret.
    pub fn at_former_port(&self, boot: &Boot) -> Option<Boot> {
        match self {
            Self::Container(..) => Some(Boot {
                origin: container::origin(FORMER_PORT),
                ..boot.clone()
            }),
            Self::Local(_) => None,
        }
    }

    /// Stores that the running boot was found [at the former port](Self::at_former_port).
    pub async fn remember_former_port(&self) -> Result<(), ApiError> {
        if let Self::Container(_, storage) = self {
            storage.put(PORT_KEY, FORMER_PORT).await?;
        }
        Ok(())
    }

    /// Sends a request to the boot's `sandboxd`, at `path`; `init` has everything else. The error
    /// is the platform's own, as it was thrown.
    pub async fn fetch(&self, boot: &Boot, path: &str, init: &RequestInit) -> Result<Response, JsValue> {
        init.set_redirect(RequestRedirect::Manual);
        match self {
            Self::Container(container, _) => container.fetch(boot, path, init).await,
            Self::Local(local) => local.fetch(boot, path, init).await,
        }
    }

    /// The response for a client, from a response that [`fetch`](Self::fetch) returned.
    pub fn forward_response(&self, response: Response) -> Result<Response, ApiError> {
        match self {
            Self::Container(..) => response_body::container_response(response),
            Self::Local(_) => Ok(response),
        }
    }
}
