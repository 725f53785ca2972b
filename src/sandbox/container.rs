//! The container that the platform attaches to a Sandbox object: `ctx.container`.

mod handle;
mod image;
mod snapshot;

use std::time::Duration;

use js_sys::{Array, Function, Object, Promise, Reflect};
use sandbox_protocol::sandbox::Instance;
use sandbox_protocol::{SandboxId, sandboxd};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, RequestInit, Response};

use super::exit::Ended;
use super::lifecycle::Boot;
use super::platform_error::{self, Kind};
use super::runtime::StartOptions;
use super::secret::Secrets;
use crate::caller::SANDBOX_PROP;
use crate::config::Config;
use crate::deadline::within;
use crate::error::ApiError;
use handle::{Handle, ObjectStorage};

/// The origin of requests to `sandboxd`, up to the port. The handle connects to the container,
/// whatever the name.
const HOST: &str = "http://sandboxd:";

/// The address at which the s3fs of a container reaches its Sandbox object, through
/// [`ContainerRuntime::intercept`]. It is reserved for documentation (RFC 5737): no host has it,
/// and no name needs to be resolved.
const S3_ADDRESS: &str = "192.0.2.1";
/// The same, as the origin of a URL.
pub const S3_ORIGIN: &str = "http://192.0.2.1";

/// The maximum of bytes of a label value on the platform.
const MAX_LABEL_LENGTH: usize = 64;

/// The number of SIGTERM.
const SIGTERM: i32 = 15;

/// One container.
#[derive(Debug)]
pub struct ContainerRuntime {
    handle: Handle,
    /// `ctx.exports`: the entry points of this Worker.
    exports: JsValue,
    id: SandboxId,
    storage: ObjectStorage,
    secrets: Secrets,
    /// The timeout of a call of the platform.
    timeout: Duration,
    /// The default size.
    instance: Instance,
}

impl ContainerRuntime {
    /// The container attached to the object of the sandbox `id`, which has this `state`, if the
    /// deployment attaches one.
    pub fn from_state(state: &worker::State, config: &Config, id: &SandboxId) -> Option<Self> {
        let container = Reflect::get(state.as_raw(), &"container".into()).ok()?;
        let exports = Reflect::get(state.as_raw(), &"exports".into()).unwrap_or_default();
        let storage = Reflect::get(state.as_raw(), &"storage".into()).ok()?;
        container.is_object().then(|| Self {
            handle: container.unchecked_into(),
            exports,
            id: id.clone(),
            storage: storage.unchecked_into(),
            secrets: Secrets::new(state.storage()),
            timeout: config.platform_timeout,
            instance: config.instance.clone(),
        })
    }

    /// Whether the container runs.
    pub fn is_running(&self) -> bool {
        self.handle.running()
    }

    /// Starts the container with the environment of `sandboxd`, and with labels by which an
    /// operator finds it in the platform's own logs and metrics. It must not be running.
    pub async fn start(&self, boot: &Boot, options: &StartOptions) -> Result<(), ApiError> {
        let StartOptions {
            env,
            settings,
            container,
        } = options;
        let own = [
            (sandboxd::BOOT_ID_ENV, boot.id.as_str()),
            (sandboxd::SECRET_ENV, boot.secret.text()),
        ];
        let env = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let id = self.id.as_str();
        let id = id.get(..MAX_LABEL_LENGTH).unwrap_or(id);
        let labels = [("sandbox", id), ("boot_id", &boot.id)];
        let options = Object::new();
        Reflect::set(&options, &"env".into(), &object(env.chain(own))?)?;
        Reflect::set(&options, &"labels".into(), &object(labels)?)?;
        Reflect::set(&options, &"enableInternet".into(), &(!settings.offline).into())?;
        self.set_image(&options, settings, container.as_ref())?;
        self.sync().await?;
        self.handle
            .start(&options)
            .map_err(|e| Failure::from_thrown(&e).into_api_error())
    }

    /// Makes the platform route the container's requests to [`S3_ORIGIN`] to this Worker, marked
    /// with the sandbox's id, for as long as the container runs. May be repeated. Errors: 501 where
    /// the runtime does not support it.
    pub async fn intercept(&self) -> Result<(), ApiError> {
        let missing = |what: &str| {
            ApiError::NotSupported(format!(
                "binding and options.credentialProxy are not supported here: this runtime has no {what}, by which a container's \
                 S3 requests reach the Worker. Mount the bucket by options.endpoint with credentials"
            ))
        };
        let offered = Reflect::get(&self.handle, &"interceptOutboundHttp".into())?;
        if !offered.is_function() {
            return Err(missing("interceptOutboundHttp"));
        }
        let entry = Reflect::get(&self.exports, &"default".into()).unwrap_or_default();
        let entry: Function = entry.dyn_into().map_err(|_| missing("ctx.exports"))?;
        let options = Object::new();
        let props = object([(SANDBOX_PROP, self.id.as_str())])?;
        Reflect::set(&options, &"props".into(), &props)?;
        // Not through `entry.call`, which would be an RPC to a method `call` of the entry point.
        let fetcher = Reflect::apply(&entry, &self.exports, &Array::of1(&options))?;
        let intercepted = self.call("interceptOutboundHttp", || {
            self.handle.intercept_outbound_http(S3_ADDRESS, &fetcher)
        });
        let refused = |e| {
            missing(&format!(
                "working interceptOutboundHttp ({})",
                Failure::from_thrown(&e).text
            ))
        };
        intercepted.await?.map(drop).map_err(refused)
    }

    /// The address and the secret of the boot whose `sandboxd` listens on `port`.
    pub async fn boot(&self, boot_id: String, port: u16) -> Result<Boot, ApiError> {
        Ok(Boot {
            secret: self.secrets.for_boot(&boot_id).await?,
            id: boot_id,
            origin: origin(port),
        })
    }

    /// The platform's own timeout, longer than this object's alarm: the platform then stops a
    /// container without connections.
    pub async fn set_inactivity_timeout(&self, after: Duration) -> Result<(), ApiError> {
        let set = self.call("setInactivityTimeout", || {
            self.handle.set_inactivity_timeout(after.as_millis() as f64)
        });
        Ok(set.await?.map(drop)?)
    }

    /// A call of the platform: the value that it returns or throws. Error: 503 when it does neither
    /// in time.
    async fn call(
        &self,
        name: &str,
        call: impl FnOnce() -> Result<Promise, JsValue>,
    ) -> Result<Result<JsValue, JsValue>, ApiError> {
        let what = format!("the platform's {name}");
        within(self.timeout, &what, async { JsFuture::from(call()?).await }).await
    }

    /// See [`super::runtime::Runtime::forget_secrets`].
    pub fn forget_secrets(&self) {
        self.secrets.forget();
    }

    /// Waits until all that the object has written is on disk. A request does not leave the object
    /// before that, but a call of the container does.
    async fn sync(&self) -> Result<(), ApiError> {
        self.call("storage", || self.storage.sync()).await??;
        Ok(())
    }

    /// Sends SIGTERM.
    pub async fn terminate(&self) -> Result<(), ApiError> {
        self.sync().await?;
        self.handle
            .signal(SIGTERM)
            .map_err(|e| Failure::from_thrown(&e).into_api_error())
    }

    /// See [`super::runtime::Runtime::destroy`].
    pub async fn destroy(&self) -> Result<(), ApiError> {
        if !self.handle.running() {
            return Ok(());
        }
        self.sync().await?;
        match self.call("destroy", || self.handle.destroy()).await? {
            Ok(_) => Ok(()),
            // The container has exited meanwhile.
            Err(_) if !self.handle.running() => Ok(()),
            Err(e) => Err(Failure::from_thrown(&e).into_api_error()),
        }
    }

    /// See [`super::runtime::Runtime::wait_for_exit`].
    pub async fn wait_for_exit(&self) -> Ended {
        let monitored = async { JsFuture::from(self.handle.monitor()?).await };
        match monitored.await {
            Ok(_) => Ended::exited("exit 0".to_owned()),
            Err(e) => {
                let failure = Failure::from_thrown(&e);
                Ended {
                    kind: failure.kind,
                    reason: failure.text,
                }
            }
        }
    }

    /// See [`super::runtime::Runtime::fetch`].
    pub async fn fetch(&self, boot: &Boot, path: &str, init: &RequestInit) -> Result<Response, JsValue> {
        let request = Request::new_with_str_and_init(&format!("{}{path}", boot.origin), init)?;
        boot.secret.sign(&request)?;
        let port = boot.origin.strip_prefix(HOST).and_then(|port| port.parse().ok());
        let port = self.handle.get_tcp_port(port.unwrap_or(sandboxd::PORT))?;
        JsFuture::from(port.fetch(&request)?).await?.dyn_into()
    }
}

/// The origin of a boot whose `sandboxd` listens on `port`.
pub fn origin(port: u16) -> String {
    format!("{HOST}{port}")
}

fn object<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<JsValue, JsValue> {
    let object = Object::new();
    for (name, value) in entries {
        Reflect::set(&object, &name.into(), &value.into())?;
    }
    Ok(object.into())
}

/// An error that the platform threw.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The kind of the error.
    pub kind: Kind,
    /// The platform's message, with the exit code if there is one.
    pub text: String,
}

impl Failure {
    /// Reads a thrown value and its causes.
    pub fn from_thrown(thrown: &JsValue) -> Self {
        let mut texts = Vec::new();
        let mut exit_code = None;
        let mut error = Some(thrown.clone());
        // Bounded: the chain of causes can be a cycle.
        while let Some(now) = error.filter(|_| texts.len() < 8) {
            let get = |name: &str| {
                Reflect::get(&now, &name.into())
                    .ok()
                    .filter(|value| !value.is_undefined())
            };
            let text = get("message").and_then(|message| message.as_string());
            texts.push(
                text.or_else(|| now.as_string())
                    .unwrap_or_else(|| "unknown error".to_owned()),
            );
            exit_code = exit_code.or_else(|| {
                get("exitCode")
                    .and_then(|code| code.as_f64())
                    .map(|code| code as i64)
            });
            error = get("cause").filter(JsValue::is_object);
        }
        let kind = platform_error::classify(texts.iter().map(String::as_str));
        let mut text = texts.join(": ");
        if let Some(code) = exit_code {
            text = format!("{text} (exit code {code})");
        }
        Self { kind, text }
    }

    /// The error for a client.
    pub fn into_api_error(self) -> ApiError {
        platform_error::to_api_error(self.kind, self.text)
    }
}
