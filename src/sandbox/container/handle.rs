//! The bindings of `ctx.container`, and of what its calls need. They are here and not the `worker` crate's, whose start options
//! pass the environment as a JavaScript `Map`, which the runtime ignores. These are plain objects.

use js_sys::{Object, Promise};
use wasm_bindgen::prelude::*;
use web_sys::Request;

#[wasm_bindgen]
extern "C" {
    /// `ctx.container`.
    #[derive(Debug, Clone)]
    pub type Handle;

    #[wasm_bindgen(method, getter)]
    pub fn running(this: &Handle) -> bool;

    #[wasm_bindgen(method, catch)]
    pub fn start(this: &Handle, options: &Object) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn monitor(this: &Handle) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn destroy(this: &Handle) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn signal(this: &Handle, signo: i32) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = getTcpPort)]
    pub fn get_tcp_port(this: &Handle, port: u16) -> Result<Port, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setInactivityTimeout)]
    pub fn set_inactivity_timeout(this: &Handle, ms: f64) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = interceptOutboundHttp)]
    pub fn intercept_outbound_http(
        this: &Handle,
        address: &str,
        fetcher: &JsValue,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = snapshotContainer)]
    pub fn snapshot_container(this: &Handle, options: &JsValue) -> Result<Promise, JsValue>;

    /// `ctx.storage`.
    #[derive(Debug)]
    pub type ObjectStorage;

    #[wasm_bindgen(method, catch)]
    pub fn sync(this: &ObjectStorage) -> Result<Promise, JsValue>;

    /// A TCP port of the container.
    pub type Port;

    #[wasm_bindgen(method, catch)]
    pub fn fetch(this: &Port, request: &Request) -> Result<Promise, JsValue>;
}
