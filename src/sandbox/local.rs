//! Sandboxes that `sandbox-local` runs on this machine, for `npm start` and the tests.

use std::collections::BTreeMap;

use sandbox_protocol::local::{self, Start, Status};
use sandbox_protocol::{ErrorBody, ErrorCode, SandboxId, sandboxd};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, Response};
use worker::Storage;

use super::lifecycle::Boot;
use super::runtime::{Ended, global_fetch};
use super::secret::Secrets;
use crate::error::ApiError;

/// One sandbox of `sandbox-local`.
#[derive(Debug)]
pub struct LocalRuntime {
    /// The sandbox's URL at `sandbox-local`.
    url: String,
    secrets: Secrets,
}

impl LocalRuntime {
    /// The sandbox `id` of the `sandbox-local` at `runtime_url`, of the object with this storage.
    pub fn new(runtime_url: &str, id: &SandboxId, storage: Storage) -> Self {
        Self {
            secrets: Secrets::new(storage),
            url: format!("{runtime_url}{}", local::sandbox_path(id)),
        }
    }

    /// See [`super::runtime::Runtime::inspect`].
    pub async fn inspect(&self) -> Result<Option<Boot>, ApiError> {
        match self.call("GET", "", None).await?.running {
            Some(boot) => Ok(Some(self.boot(boot).await?)),
            None => Ok(None),
        }
    }

    /// See [`super::runtime::Runtime::start`].
    pub async fn start(&self, boot_id: String, mut env: BTreeMap<String, String>) -> Result<Boot, ApiError> {
        let secret = self.secrets.of(&boot_id).await?;
        env.insert(sandboxd::SECRET_ENV.to_owned(), secret.text().to_owned());
        let start = Start { boot_id, env };
        let mut status = self
            .call("POST", "", Some(&serde_json::to_string(&start)?))
            .await?;
        match status.running.take() {
            Some(boot) => self.boot(boot).await,
            None => Err(ended(status).error()),
        }
    }

    async fn boot(&self, boot: local::Boot) -> Result<Boot, ApiError> {
        Ok(Boot {
            secret: self.secrets.of(&boot.boot_id).await?,
            id: boot.boot_id,
            origin: format!("http://{}", boot.address),
        })
    }

    /// See [`super::runtime::Runtime::terminate`].
    pub async fn terminate(&self) -> Result<(), ApiError> {
        self.request("POST", "/stop", None).await.map(drop)
    }

    /// See [`super::runtime::Runtime::destroy`].
    pub async fn destroy(&self) -> Result<(), ApiError> {
        self.request("DELETE", "", None).await.map(drop)
    }

    /// See [`super::runtime::Runtime::wait_for_exit`].
    pub async fn wait_for_exit(&self, boot_id: &str) -> Result<Ended, ApiError> {
        let status = self.call("GET", &format!("/exit?boot={boot_id}"), None).await?;
        Ok(ended(status))
    }

    /// See [`super::runtime::Runtime::fetch`].
    pub async fn fetch(&self, boot: &Boot, path: &str, init: &RequestInit) -> Result<Response, JsValue> {
        let request = Request::new_with_str_and_init(&format!("{}{path}", boot.origin), init)?;
        boot.secret.sign(&request)?;
        global_fetch(&request).await
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
        let response = global_fetch(&request).await.map_err(gone)?;
        let text = JsFuture::from(response.text()?)
            .await
            .map_err(gone)?
            .as_string()
            .unwrap_or_default();
        if response.ok() {
            return Ok(text);
        }
        Err(match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) if body.code == ErrorCode::CapacityExceeded => ApiError::Capacity(body.error),
            _ => ApiError::StartFailed(format!("sandbox-local: {text}")),
        })
    }
}

fn ended(status: Status) -> Ended {
    Ended::by_itself(status.last_exit.unwrap_or_else(|| "it does not run".to_owned()))
}
