//! Sandboxes that `sandbox-local` runs on this machine, for `npm start` and the tests.

use std::time::Duration;

use sandbox_protocol::local::{self, Start, Status};
use sandbox_protocol::{ErrorBody, ErrorCode, SandboxId, sandboxd};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, Response};
use worker::Storage;

use super::exit::Ended;
use super::lifecycle::Boot;
use super::runtime::StartOptions;
use super::secret::Secrets;
use crate::config::Config;
use crate::error::ApiError;
use crate::fetch::global_fetch;
use crate::stub;

/// One sandbox of `sandbox-local`.
#[derive(Debug)]
pub struct LocalRuntime {
    /// The sandbox's URL at `sandbox-local`.
    url: String,
    secrets: Secrets,
    /// The timeout of a call.
    timeout: Duration,
    /// The timeout of a start, which waits until `sandboxd` answers.
    start_timeout: Duration,
}

/// The timeout of one call that waits for a boot's end. It is then repeated.
const EXIT_POLL: Duration = Duration::from_secs(600);

impl LocalRuntime {
    /// The sandbox `id` of the `sandbox-local` at `runtime_url`, of the object with this storage.
    pub fn new(runtime_url: &str, config: &Config, id: &SandboxId, storage: Storage) -> Self {
        Self {
            secrets: Secrets::new(storage),
            timeout: config.platform_timeout,
            start_timeout: config.start_timeout + config.platform_timeout,
            url: format!("{runtime_url}{}", local::sandbox_path(id)),
        }
    }

    /// See [`super::runtime::Runtime::inspect`].
    pub async fn inspect(&self) -> Result<Option<Boot>, ApiError> {
        match self.call("GET", "", None, self.timeout).await?.running {
            Some(boot) => Ok(Some(self.boot(boot).await?)),
            None => Ok(None),
        }
    }

    /// See [`super::runtime::Runtime::start`].
    pub async fn start(&self, boot_id: String, options: StartOptions) -> Result<Boot, ApiError> {
        let mut env = options.env;
        let secret = self.secrets.for_boot(&boot_id).await?;
        env.insert(sandboxd::SECRET_ENV.to_owned(), secret.text().to_owned());
        let start = Start {
            boot_id,
            env,
            offline: options.settings.offline,
        };
        let mut status = self
            .call(
                "POST",
                "",
                Some(&serde_json::to_string(&start)?),
                self.start_timeout,
            )
            .await?;
        match status.running.take() {
            Some(boot) => self.boot(boot).await,
            None => Err(ended(status).error()),
        }
    }

    /// The origin at which the sandbox that runs reaches the S3 of this object. 502 when there is none.
    pub async fn s3_origin(&self) -> Result<String, ApiError> {
        let boot = self.call("GET", "", None, self.timeout).await?.running;
        boot.and_then(|boot| boot.s3_origin).ok_or_else(|| {
            ApiError::Mount(
                "sandboxes of this machine cannot mount buckets: that takes root and /dev/fuse".into(),
            )
        })
    }

    async fn boot(&self, boot: local::Boot) -> Result<Boot, ApiError> {
        Ok(Boot {
            secret: self.secrets.for_boot(&boot.boot_id).await?,
            id: boot.boot_id,
            origin: format!("http://{}", boot.address),
        })
    }

    /// See [`super::runtime::Runtime::terminate`].
    pub async fn terminate(&self) -> Result<(), ApiError> {
        self.request("POST", "/stop", None, self.timeout).await.map(drop)
    }

    /// See [`super::runtime::Runtime::destroy`].
    pub async fn destroy(&self) -> Result<(), ApiError> {
        self.request("DELETE", "", None, self.timeout).await.map(drop)
    }

    /// See [`super::runtime::Runtime::wait_for_exit`].
    pub async fn wait_for_exit(&self, boot_id: &str) -> Result<Ended, ApiError> {
        let path = format!("/exit?boot={boot_id}");
        loop {
            let started = js_sys::Date::now();
            match self.call("GET", &path, None, EXIT_POLL).await {
                Err(_) if js_sys::Date::now() - started >= EXIT_POLL.as_millis() as f64 => {}
                status => return status.map(ended),
            }
        }
    }

    /// See [`super::runtime::Runtime::fetch`].
    pub async fn fetch(&self, boot: &Boot, path: &str, init: &RequestInit) -> Result<Response, JsValue> {
        let request = Request::new_with_str_and_init(&format!("{}{path}", boot.origin), init)?;
        boot.secret.sign(&request)?;
        global_fetch(&request).await
    }

    /// See [`super::runtime::Runtime::forget_secrets`].
    pub fn forget_secrets(&self) {
        self.secrets.forget();
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
        limit: Duration,
    ) -> Result<Status, ApiError> {
        let text = self.request(method, path, body, limit).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Sends a request to `sandbox-local`, which must answer within `limit`.
    async fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
        limit: Duration,
    ) -> Result<String, ApiError> {
        let init = stub::with_timeout(method, limit);
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
        let body = serde_json::from_str::<ErrorBody>(&text);
        Err(match (response.status(), body) {
            (_, Ok(body)) if body.code == ErrorCode::CapacityExceeded => ApiError::Capacity(body.error),
            (503, Ok(body)) => ApiError::Unavailable(body.error),
            (_, Ok(body)) => ApiError::StartFailed(body.error),
            // Another program has its port.
            (status, Err(_)) => {
                ApiError::StartFailed(format!("sandbox-local answered with the status {status}"))
            }
        })
    }
}

fn ended(status: Status) -> Ended {
    Ended::exited(status.last_exit.unwrap_or_else(|| "it does not run".to_owned()))
}
