//! `GET /v1/openapi.json`, `GET /v1/openapi.html`, `GET /v1/openapi`, and the files that the
//! explorer loads: static assets of the build, served through the Worker.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, Response};
use worker::Env;

use crate::config::ASSETS_BINDING;
use crate::error::ApiError;
use crate::response;
use crate::route::ExplorerFile;

/// The Content-Security-Policy of the explorer's page: it loads from and talks to this origin only.
/// Swagger UI sets styles inline.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// 200 with the OpenAPI document; 304.
pub async fn document(env: &Env, request: &Request) -> Result<Response, ApiError> {
    asset(env, "/openapi.json", request).await
}

/// 200 with the explorer's page; 304.
pub async fn explorer(env: &Env, request: &Request) -> Result<Response, ApiError> {
    let response = asset(env, "/openapi.html", request).await?;
    response.headers().set("content-security-policy", PAGE_POLICY)?;
    Ok(response)
}

/// 200 with a file of the explorer; 304.
pub async fn explorer_file(env: &Env, file: ExplorerFile, request: &Request) -> Result<Response, ApiError> {
    asset(env, file.path(), request).await
}

/// A static asset. The URL of the page may contain the key, so no `Referer` is sent to other sites.
async fn asset(env: &Env, path: &str, request: &Request) -> Result<Response, ApiError> {
    let missing =
        |what: &str| ApiError::NotConfigured(format!("{what} is missing: deploy with `npm run deploy`"));
    let assets: Assets = env
        .assets(ASSETS_BINDING)
        .map_err(|_| missing("the assets binding ASSETS"))?
        .into_rpc();
    let conditions = Headers::new()?;
    if let Some(known) = request.headers().get("if-none-match")? {
        conditions.set("if-none-match", &known)?;
    }
    let init = RequestInit::new();
    init.set_headers(&conditions);
    let request = Request::new_with_str_and_init(&format!("http://assets{path}"), &init)?;
    let found: Response = JsFuture::from(assets.fetch(&request)?).await?.unchecked_into();
    if !matches!(found.status(), 200 | 304) {
        return Err(missing(path));
    }
    let headers = Headers::new()?;
    for name in ["content-type", "etag"] {
        if let Some(value) = found.headers().get(name)? {
            headers.set(name, &value)?;
        }
    }
    headers.set("cache-control", "no-cache")?;
    headers.set("referrer-policy", "no-referrer")?;
    headers.set("x-content-type-options", "nosniff")?;
    Ok(response::streamed(
        found.status(),
        &headers,
        found.body().as_ref(),
    )?)
}

#[wasm_bindgen]
extern "C" {
    /// The binding as a JavaScript object.
    type Assets;

    #[wasm_bindgen(method, catch)]
    fn fetch(this: &Assets, request: &Request) -> Result<js_sys::Promise, JsValue>;
}
