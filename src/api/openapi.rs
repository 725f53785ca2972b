//! `GET /v1/openapi.json`, `GET /v1/openapi.html`, `GET /v1/openapi`, and the files that the
//! explorer loads: static assets of the build, served through the Worker.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, RequestInit, Response};
use worker::Env;

use crate::config::ASSETS_BINDING;
use crate::error::ApiError;
use crate::response;

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

/// A file of the explorer, the same on every bridge: a browser loads it without the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplorerFile {
    /// Swagger UI.
    Library,
    /// Swagger UI's style.
    LibraryStyle,
    /// The script that sets Swagger UI up for this API.
    Script,
    /// This API's additions to Swagger UI's style.
    Style,
    /// The licenses of Swagger UI and its parts, which are distributed with it.
    Licenses,
}

impl ExplorerFile {
    const ALL: [Self; 5] = [
        Self::Library,
        Self::LibraryStyle,
        Self::Script,
        Self::Style,
        Self::Licenses,
    ];

    /// The path, in URLs as among the static assets.
    pub fn path(self) -> &'static str {
        match self {
            Self::Library => "/explorer/swagger-ui-bundle.js",
            Self::LibraryStyle => "/explorer/swagger-ui.css",
            Self::Script => "/explorer/explorer.js",
            Self::Style => "/explorer/explorer.css",
            Self::Licenses => "/explorer/swagger-ui-bundle.js.LICENSE.txt",
        }
    }

    /// The file of this name. Error: 404.
    pub fn parse(name: &str) -> Result<Self, ApiError> {
        let has_name = |file: &Self| file.path().strip_prefix("/explorer/") == Some(name);
        Self::ALL.into_iter().find(has_name).ok_or(ApiError::NotFound)
    }
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

#[cfg(test)]
mod tests {
    use sandbox_protocol::route_table::{Access, Operation};

    use super::*;
    use crate::resolve::resolve;

    #[test]
    fn the_explorer_loads_its_files_without_the_key_and_no_others() {
        for file in ExplorerFile::ALL {
            let resolved = resolve("GET", file.path()).unwrap();
            assert_eq!(ExplorerFile::parse(resolved.parameter("file")), Ok(file));
            assert_eq!(
                (resolved.operation, resolved.access),
                (Ok(Operation::ExplorerFile), Access::Open)
            );
        }
        for at in ["/explorer", "/openapi.json", "/openapi.html"] {
            assert_eq!(
                resolve("GET", at).unwrap().operation,
                Err(ApiError::NotFound),
                "{at}"
            );
        }
        for name in ["", "openapi.json", "../health"] {
            assert_eq!(ExplorerFile::parse(name), Err(ApiError::NotFound), "{name}");
        }
    }
}
