//! Sandboxes that `sandbox-local` runs on this machine, for `npm start` and the tests.

use std::collections::BTreeMap;

use sandbox_protocol::SandboxId;
use sandbox_protocol::local::{self, Start, Status};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, Response};

use super::lifecycle::Boot;
use super::runtime::{Ended, global_fetch};
use crate::error::ApiError;

/// One sandbox of `sandbox-local`.
#[derive(Debug, Clone)]
pub struct LocalRuntime {
    /// The sandbox's URL at `sandbox-local`.
    url: String,
}

impl LocalRuntime {
    /// The sandbox `id` of the `sandbox-local` at `runtime_url`.
    pub fn new(runtime_url: &str, id: &SandboxId) -> Self {
        Self {
            url: format!("{runtime_url}{}", local::sandbox_path(id)),
        }
    }

    /// See [`super::runtime::Runtime::inspect`].
    pub async fn inspect(&self) -> Result<Option<Boot>, ApiError> {
        Ok(boot_of(self.call("GET", "", None).await?).ok())
    }

    /// See [`super::runtime::Runtime::start`].
    pub async fn start(&self, boot_id: String, env: BTreeMap<String, String>) -> Result<Boot, ApiError> {
        let start = Start { boot_id, env };
        let status = self
            .call("POST", "", Some(&serde_json::to_string(&start)?))
            .await?;
        boot_of(status).map_err(|ended| ended.error())
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
        global_fetch(&Request::new_with_str_and_init(
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
        let response = global_fetch(&request).await.map_err(gone)?;
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

fn boot_of(status: Status) -> Result<Boot, Ended> {
    match status.running {
        Some(boot) => Ok(Boot {
            id: boot.boot_id,
            origin: format!("http://{}", boot.address),
        }),
        None => Err(ended(status)),
    }
}

fn ended(status: Status) -> Ended {
    Ended::by_itself(status.last_exit.unwrap_or_else(|| "it does not run".to_owned()))
}
