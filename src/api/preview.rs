//! `{port}-{id}-{token}.PREVIEW_HOST/…`: the server on an exposed port, without a key.
//!
//! Every path and every method is the server's. Errors of Sandbar itself have the header
//! [`ERROR_HEADER`], and are pages for browsers.

use sandbox_protocol::error::ERROR_HEADER;
use sandbox_protocol::preview::{PreviewLabel, visit_url};
use sandbox_protocol::{ErrorBody, ErrorCode};
use web_sys::{Request, Response};
use worker::Env;

use super::proxy::{self, ServerRequest};
use crate::auth;
use crate::config::Config;
use crate::error::ApiError;
use crate::{response, stub, url};

/// The response of the server on the port, or 101 and its WebSocket. `label` is verified. Errors: 404
/// `invalid_token` when the port is no longer exposed, 503 `sandbox_not_running`, and those of a
/// request to a port.
pub async fn visit(
    env: &Env,
    config: &Config,
    label: &PreviewLabel<'_>,
    request: Request,
) -> Result<Response, ApiError> {
    let url = request.url();
    let to_server = ServerRequest {
        port: label.port,
        path: visit_url(label.port, label.token_id),
        url: &url,
        prefix: "",
        target: url::path_and_query(&url),
    };
    let headers = to_server.headers(&request)?;
    // It is the server's, unless a client sends the key of the deployment by mistake.
    if let Some(authorization) = headers.get("authorization")?
        && config.api_keys.first().is_some()
        && auth::authorize(config, Some(&authorization), &url).await.is_ok()
    {
        headers.delete("authorization")?;
    }
    proxy::forward(env, &label.sandbox, &to_server, headers, request).await
}

/// Whether a browser shows the response to a person.
pub fn is_for_person(request: &Request) -> Result<bool, ApiError> {
    let accept = request.headers().get("accept")?;
    Ok(request.method() != "HEAD" && accept.is_some_and(|accept| accept.contains("text/html")))
}

/// The response to a person in the place of this one: a page, if it is an error of Sandbar.
pub async fn for_person(response: Response) -> Result<Response, ApiError> {
    if response.headers().get(ERROR_HEADER)?.is_none() {
        return Ok(response);
    }
    let status = response.status();
    let error: ErrorBody = serde_json::from_str(&stub::text(response.text()).await?)?;
    let page = response::text("text/html; charset=utf-8", &page(status, &error))?;
    let headers = page.headers();
    headers.set(ERROR_HEADER, &error.code.to_string())?;
    headers.set("cache-control", "no-store")?;
    headers.set(
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'",
    )?;
    Ok(response::streamed(status, &headers, page.body().as_ref())?)
}

fn page(status: u16, error: &ErrorBody) -> String {
    let (title, advice) = match error.code {
        ErrorCode::InvalidToken => ("No such preview", "Its owner can give you a new address."),
        ErrorCode::SandboxNotRunning => (
            "The sandbox is not running",
            "It can be started through the API. Reload this page then.",
        ),
        ErrorCode::PortNotListening => (
            "Nothing listens on this port",
            "Start the server in the sandbox, then reload this page.",
        ),
        _ => ("This preview cannot be shown", "Reload this page to try again."),
    };
    let text = escaped(&error.error);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 15vh auto; max-width: 34rem; padding: 0 1rem; \
         color-scheme: light dark }} small {{ opacity: .6 }}</style>\n\
         <h1>{title}</h1>\n<p>{advice}</p>\n<p><small>{status}: {text}</small></p>\n</html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_the_error_as_text() {
        let error = ErrorBody::new(ErrorCode::PortNotListening, "<script> & more");
        let page = page(502, &error);
        assert!(page.contains("<h1>Nothing listens on this port</h1>"), "{page}");
        assert!(page.contains("502: &lt;script&gt; &amp; more"), "{page}");
    }
}
