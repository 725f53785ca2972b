//! The container that the platform attaches to a Sandbox object: `ctx.container`.
//!
//! Bound here and not by the `worker` crate, whose start options pass the environment as a JavaScript `Map`, which the
//! runtime ignores. These are plain objects.

use std::collections::BTreeMap;

use js_sys::{Array, Function, Object, Promise, Reflect};
use sandbox_protocol::{SandboxId, sandboxd};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, RequestInit, Response};

use super::lifecycle::Boot;
use super::platform_error::{self, Kind};
use super::runtime::Ended;
use super::secret::Secrets;
use crate::edge::SANDBOX_PROP;
use crate::error::ApiError;

/// What requests to `sandboxd` are addressed to. Only the path counts: the port is chosen by the handle.
const ORIGIN: &str = "http://sandboxd";

/// The address at which the s3fs of a container finds its Sandbox object, by [`ContainerRuntime::intercept`]. It is one of
/// those that are for documentation (RFC 5737): nobody else has it, and no name needs to be looked up.
const S3_ADDRESS: &str = "192.0.2.1";
/// The same, as the beginning of a URL.
pub const S3_ORIGIN: &str = "http://192.0.2.1";

/// The platform takes no label value of more bytes.
const LONGEST_LABEL: usize = 64;

/// SIGTERM.
const TERMINATE: i32 = 15;

#[wasm_bindgen]
extern "C" {
    /// `ctx.container`.
    #[derive(Debug, Clone)]
    pub type Handle;

    #[wasm_bindgen(method, getter)]
    fn running(this: &Handle) -> bool;

    #[wasm_bindgen(method, catch)]
    fn start(this: &Handle, options: &Object) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn monitor(this: &Handle) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn destroy(this: &Handle) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn signal(this: &Handle, signo: i32) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = getTcpPort)]
    fn get_tcp_port(this: &Handle, port: u16) -> Result<Port, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setInactivityTimeout)]
    fn set_inactivity_timeout(this: &Handle, ms: f64) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = interceptOutboundHttp)]
    fn intercept_outbound_http(this: &Handle, address: &str, fetcher: &JsValue) -> Result<Promise, JsValue>;

    /// A TCP port of the container.
    type Port;

    #[wasm_bindgen(method, catch)]
    fn fetch(this: &Port, request: &Request) -> Result<Promise, JsValue>;
}

/// One container.
#[derive(Debug)]
pub struct ContainerRuntime {
    handle: Handle,
    /// `ctx.exports`: this Worker's own entry points.
    exports: JsValue,
    id: SandboxId,
    secrets: Secrets,
}

impl ContainerRuntime {
    /// The container attached to the object of the sandbox `id`, whose state this is, if the deployment attaches one.
    pub fn of(state: &worker::State, id: &SandboxId) -> Option<Self> {
        let container = Reflect::get(state.as_raw(), &"container".into()).ok()?;
        let exports = Reflect::get(state.as_raw(), &"exports".into()).unwrap_or_default();
        container.is_object().then(|| Self {
            handle: container.unchecked_into(),
            exports,
            id: id.clone(),
            secrets: Secrets::new(state.storage()),
        })
    }

    /// Whether the platform runs it.
    pub fn is_running(&self) -> bool {
        self.handle.running()
    }

    /// Starts it with the environment of `sandboxd`, and with labels by which an operator finds it in the platform's own
    /// logs and metrics. It must not be running.
    pub fn start(&self, boot: &Boot, env: &BTreeMap<String, String>) -> Result<(), ApiError> {
        let own = [
            (sandboxd::BOOT_ID_ENV, boot.id.as_str()),
            (sandboxd::SECRET_ENV, boot.secret.text()),
        ];
        let env = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let id = self.id.as_str();
        let id = id.get(..LONGEST_LABEL).unwrap_or(id);
        let labels = [("sandbox", id), ("boot_id", &boot.id)];
        let options = Object::new();
        Reflect::set(&options, &"env".into(), &object(env.chain(own))?)?;
        Reflect::set(&options, &"labels".into(), &object(labels)?)?;
        Reflect::set(&options, &"enableInternet".into(), &true.into())?;
        self.handle
            .start(&options)
            .map_err(|e| Failure::of(&e).into_api_error())
    }

    /// Has what the container asks of [`S3_ORIGIN`] handed to this Worker, marked with the name of the sandbox. It holds for
    /// as long as the container runs, and can be done again. Errors: 501 where the runtime does not offer it.
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
        // Not by its method `call`, which would be one of the entry point itself, over RPC.
        let fetcher = Reflect::apply(&entry, &self.exports, &Array::of1(&options))?;
        let intercepted =
            async { JsFuture::from(self.handle.intercept_outbound_http(S3_ADDRESS, &fetcher)?).await };
        let refused = |e| {
            missing(&format!(
                "working interceptOutboundHttp ({})",
                Failure::of(&e).text
            ))
        };
        intercepted.await.map(drop).map_err(refused)
    }

    /// How a request to its `sandboxd` is addressed.
    pub async fn boot(&self, boot_id: String) -> Result<Boot, ApiError> {
        Ok(Boot {
            secret: self.secrets.of(&boot_id).await?,
            id: boot_id,
            origin: ORIGIN.to_owned(),
        })
    }

    /// The platform's own net, below ours: it stops the container after so long without a connection.
    pub fn set_inactivity_timeout(&self, ms: f64) -> Result<Promise, JsValue> {
        self.handle.set_inactivity_timeout(ms)
    }

    /// Asks it to end.
    pub fn terminate(&self) -> Result<(), ApiError> {
        self.handle
            .signal(TERMINATE)
            .map_err(|e| Failure::of(&e).into_api_error())
    }

    /// See [`super::runtime::Runtime::destroy`].
    pub async fn destroy(&self) -> Result<(), ApiError> {
        if !self.handle.running() {
            return Ok(());
        }
        let destroyed = async { JsFuture::from(self.handle.destroy()?).await };
        match destroyed.await {
            Ok(_) => Ok(()),
            // It ended by itself meanwhile.
            Err(_) if !self.handle.running() => Ok(()),
            Err(e) => Err(Failure::of(&e).into_api_error()),
        }
    }

    /// See [`super::runtime::Runtime::wait_for_exit`].
    pub async fn wait_for_exit(&self) -> Ended {
        let monitored = async { JsFuture::from(self.handle.monitor()?).await };
        match monitored.await {
            Ok(_) => Ended::by_itself("exit 0".to_owned()),
            Err(e) => {
                let failure = Failure::of(&e);
                Ended {
                    kind: failure.kind,
                    words: failure.text,
                }
            }
        }
    }

    /// See [`super::runtime::Runtime::fetch`].
    pub async fn fetch(&self, boot: &Boot, path: &str, init: &RequestInit) -> Result<Response, JsValue> {
        let request = Request::new_with_str_and_init(&format!("{}{path}", boot.origin), init)?;
        boot.secret.sign(&request)?;
        let port = self.handle.get_tcp_port(sandboxd::PORT)?;
        JsFuture::from(port.fetch(&request)?).await?.dyn_into()
    }
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
    /// What it means.
    pub kind: Kind,
    /// The platform's words, with the exit code if it gave one.
    pub text: String,
}

impl Failure {
    /// Reads a thrown value and its causes.
    pub fn of(thrown: &JsValue) -> Self {
        let mut texts = Vec::new();
        let mut exit_code = None;
        let mut error = Some(thrown.clone());
        // Bounded: a cause can name itself.
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

    /// What a client is told.
    pub fn into_api_error(self) -> ApiError {
        platform_error::to_api_error(self.kind, self.text)
    }
}
