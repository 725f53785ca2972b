//! What runs under a Sandbox object: the one place that knows whether it is a container or a local process.

use std::time::Duration;

use sandbox_protocol::SandboxId;
use sandbox_protocol::local::{self, Start, Status};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, Request, RequestInit, RequestRedirect, Response, WorkerGlobalScope};

use super::lifecycle::Boot;
use crate::config::Config;
use crate::error::ApiError;

/// The runtime of one sandbox.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// The sandbox's URL at `sandbox-local`.
    url: String,
}

impl Runtime {
    /// The runtime that the configuration chooses for the sandbox `id`.
    pub fn new(config: &Config, id: &SandboxId) -> Result<Self, ApiError> {
        let url = config.runtime_url.as_ref().ok_or_else(|| {
            ApiError::NotConfigured(format!(
                "there is nothing to run sandboxes on: {} is not set",
                local::RUNTIME_URL_VAR
            ))
        })?;
        Ok(Self {
            url: format!("{url}{}", local::sandbox_path(id)),
        })
    }

    /// The boot that runs now, whether or not it answers yet.
    pub async fn inspect(&self) -> Result<Result<Boot, Stopped>, ApiError> {
        Ok(boot_of(self.call("GET", "", None).await?))
    }

    /// Starts `sandboxd` with a boot id. When one runs already, that one is given back.
    pub async fn start(&self, boot_id: String) -> Result<Boot, ApiError> {
        let start = Start {
            boot_id,
            env: Default::default(),
        };
        let status = self
            .call("POST", "", Some(&serde_json::to_string(&start)?))
            .await?;
        boot_of(status).map_err(|stopped| ApiError::StartFailed(stopped.words()))
    }

    /// Ends whatever runs and removes what it left. No error when nothing runs.
    pub async fn destroy(&self) -> Result<(), ApiError> {
        self.request("DELETE", "", None).await.map(drop)
    }

    /// Waits until the boot with this id has ended; says how.
    pub async fn wait_for_exit(&self, boot_id: &str) -> Result<Stopped, ApiError> {
        let status = self.call("GET", &format!("/exit?boot={boot_id}"), None).await?;
        Ok(Stopped {
            last_exit: status.last_exit,
        })
    }

    /// Sends a request to the boot's `sandboxd`: `path` and query at the boot, everything else as `init` says.
    /// The error is the runtime's own, as it was thrown.
    pub async fn fetch(&self, boot: &Boot, path: &str, init: &RequestInit) -> Result<Response, JsValue> {
        init.set_redirect(RequestRedirect::Manual);
        fetch(&Request::new_with_str_and_init(
            &format!("{}{path}", boot.origin),
            init,
        )?)
        .await
    }

    async fn call(&self, method: &str, path: &str, body: Option<&str>) -> Result<Status, ApiError> {
        let text = self.request(method, path, body).await?;
        Ok(serde_json::from_str(&text)?)
    }

    async fn request(&self, method: &str, path: &str, body: Option<&str>) -> Result<String, ApiError> {
        let init = RequestInit::new();
        init.set_method(method);
        if let Some(body) = body {
            let headers = Headers::new()?;
            headers.set("content-type", "application/json")?;
            init.set_headers(&headers);
            init.set_body(&JsValue::from(body));
        }
        let gone = |e: JsValue| {
            ApiError::Unavailable(format!(
                "sandbox-local does not answer: {}",
                worker::Error::from(e)
            ))
        };
        let request = Request::new_with_str_and_init(&format!("{}{path}", self.url), &init)?;
        let response = fetch(&request).await.map_err(gone)?;
        let text = JsFuture::from(response.text()?)
            .await
            .map_err(gone)?
            .as_string()
            .unwrap_or_default();
        if response.ok() {
            Ok(text)
        } else {
            Err(ApiError::StartFailed(format!("sandbox-local: {text}")))
        }
    }
}

/// A sandbox that does not run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    last_exit: Option<String>,
}

impl Stopped {
    /// How the last boot ended, for an error's text.
    pub fn words(&self) -> String {
        match &self.last_exit {
            Some(exit) => format!("the sandbox ended: {exit}"),
            None => "the sandbox does not run".to_owned(),
        }
    }
}

fn boot_of(status: Status) -> Result<Boot, Stopped> {
    match status.running {
        Some(boot) => Ok(Boot {
            id: boot.boot_id,
            origin: format!("http://{}", boot.address),
        }),
        None => Err(Stopped {
            last_exit: status.last_exit,
        }),
    }
}

/// A request that is given up after `patience`.
pub fn impatient_get(patience: Duration) -> RequestInit {
    let init = RequestInit::new();
    init.set_method("GET");
    init.set_signal(Some(&AbortSignal::timeout_with_u32(patience.as_millis() as u32)));
    init
}

async fn fetch(request: &Request) -> Result<Response, JsValue> {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    JsFuture::from(scope.fetch_with_request(request))
        .await?
        .dyn_into()
}
