//! `/v1/sandbox/{id}/port` and what is below it, and `/v1/sandbox/{id}/tcp/{port}`: the servers of a
//! sandbox. None of it starts one: see `Core::port`.

use std::collections::BTreeMap;

use sandbox_protocol::port::{MAX_BODY, PortList, PortState, PortWaitRequest};
use sandbox_protocol::preview::{self as protocol, ExposeRequest, ExposedPort, Exposure, PortAccess};
use sandbox_protocol::preview::{PreviewDomain, PreviewLabel, SandboxPorts};
use sandbox_protocol::{SandboxId, ServerPort, sandboxd, time};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::proxy::{self, ServerRequest};
use super::{object, pty};
use crate::config::Config;
use crate::error::ApiError;
use crate::{body, preview, response, stub, url};

/// 200 with the [`PortList`]: the ports on which processes listen, and those that are exposed.
pub async fn list(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    let found = object::forward(env, id, protocol::EXPOSURE, &request, &Headers::new()?, None).await?;
    if !found.ok() {
        return Ok(found);
    }
    let found: SandboxPorts = serde_json::from_str(&stub::text(found.text()).await?)?;
    let listening = found.listening.into_iter();
    let mut ports: BTreeMap<u16, PortState> =
        listening.map(|port| (port, PortState::listening(port))).collect();
    let url = request.url();
    // Without one, they were exposed by a deployment that had one.
    let host = preview::host(config, &url);
    for exposure in found.exposures {
        let address = match &host {
            Some(host) => Some(address(config, host, id, &url, &exposure).await?.0),
            None => None,
        };
        let port = exposure.port.get();
        let state = ports.entry(port).or_insert(PortState {
            listening: false,
            ..PortState::listening(port)
        });
        state.url = address;
        state.name = exposure.name;
        state.access = Some(exposure.access);
        state.wake = Some(exposure.wake);
        state.expires_at = exposure.expires_ms.map(time::from_ms);
    }
    response::json(
        200,
        &PortList {
            ports: ports.into_values().collect(),
        },
    )
}

/// 200 with the [`ExposedPort`]. Starts no sandbox. Errors: 400 for an id that is too long for a host
/// name, 404 `sandbox_not_found`, 501 where `PREVIEW_HOST` is not set.
pub async fn expose(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    port: ServerPort,
    request: Request,
) -> Result<Response, ApiError> {
    let (wanted, json) = body::read_checked(&request, protocol::MAX_BODY, ExposeRequest::parse).await?;
    let url = request.url();
    let Some(host) = preview::host(config, &url) else {
        return Err(ApiError::NotSupported(format!(
            "PREVIEW_HOST is not set, so ports have no addresses of their own. With the key, a client reaches the port at \
             /v1/sandbox/{id}/port/{port}/; POST /v1/sandbox/{id}/tunnel/{port} opens a public address"
        )));
    };
    // The longest address that the request can get: nothing is stored if it is too long.
    let longest = match (wanted.access, &wanted.token_id) {
        (PortAccess::Public, _) => protocol::PUBLIC_TOKEN_ID.to_owned(),
        (PortAccess::Token, Some(id)) => id.clone(),
        (PortAccess::Token, None) => preview::random_token_id()?,
    };
    sign(config, id, port, &longest).await?;
    let path = protocol::exposure_url(port);
    let stored = object::forward_json(env, id, &path, &request, &json).await?;
    if !stored.ok() {
        return Ok(stored);
    }
    let stored: Exposure = serde_json::from_str(&stub::text(stored.text()).await?)?;
    let (address, token) = address(config, &host, id, &url, &stored).await?;
    let exposed = ExposedPort {
        port: port.get(),
        url: address,
        name: stored.name,
        access: stored.access,
        token: (stored.access == PortAccess::Token).then_some(token),
        wake: stored.wake,
        expires_at: stored.expires_ms.map(time::from_ms),
    };
    response::json(200, &exposed)
}

/// 204 once the port is no longer exposed and the connections of its visitors are closed, whether or
/// not it was exposed. Starts no sandbox.
pub async fn unexpose(
    env: &Env,
    id: &SandboxId,
    port: ServerPort,
    request: Request,
) -> Result<Response, ApiError> {
    let path = protocol::exposure_url(port);
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}

async fn sign(
    config: &Config,
    id: &SandboxId,
    port: ServerPort,
    token_id: &str,
) -> Result<(String, String), ApiError> {
    let label = PreviewLabel {
        port,
        sandbox: id.clone(),
        token_id,
    };
    preview::sign(&config.api_keys, &label).await
}

/// The URL of an exposed port, as the client at `url` is to see it, and the token in it.
async fn address(
    config: &Config,
    host: &PreviewDomain,
    id: &SandboxId,
    url: &str,
    exposure: &Exposure,
) -> Result<(String, String), ApiError> {
    let (label, token) = sign(config, id, exposure.port, &exposure.token_id).await?;
    let scheme = url::scheme(url);
    Ok((format!("{scheme}://{}/", host.authority(&label)), token))
}

/// 200 with the [`sandbox_protocol::port::PortWaitResult`] once the wait is over.
pub async fn wait(
    env: &Env,
    id: &SandboxId,
    port: ServerPort,
    request: Request,
) -> Result<Response, ApiError> {
    object::forward_checked(
        env,
        id,
        &sandboxd::port_wait_url(port),
        &request,
        &[],
        MAX_BODY,
        PortWaitRequest::parse,
    )
    .await
}

/// The response of the HTTP server on the port, or 101 and its WebSocket.
pub async fn proxy(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    port: ServerPort,
    request: Request,
) -> Result<Response, ApiError> {
    let url = request.url();
    let (prefix, target) = split_target(url::path_and_query(&url));
    let to_server = ServerRequest {
        port,
        path: sandboxd::proxy_url(port),
        url: &url,
        prefix,
        target,
    };
    let headers = to_server.headers(&request)?;
    // Without keys, nobody reads it but the server.
    if config.api_keys.first().is_some() {
        headers.delete("authorization")?;
    }
    proxy::forward(env, id, &to_server, headers, request).await
}

/// 101 and a WebSocket, whose binary frames are the bytes of a TCP connection to the port.
pub async fn tcp(
    env: &Env,
    id: &SandboxId,
    port: ServerPort,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = pty::upgrade_headers(&request)?;
    object::forward(env, id, &sandboxd::tcp_url(port), &request, &headers, None).await
}

/// Splits `/v1/sandbox/{id}/port/{port}/…` before its sixth slash.
fn split_target(path_and_query: &str) -> (&str, &str) {
    let slash = path_and_query.match_indices('/').nth(5);
    let (at, _) = slash.unwrap_or((path_and_query.len(), ""));
    path_and_query.split_at(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_what_follows_the_port_unchanged() {
        for (url, prefix, target) in [
            ("/v1/sandbox/a/port/80/", "/v1/sandbox/a/port/80", "/"),
            (
                "/v1/sandbox/a/port/80//b%2Fc/../?d=/e",
                "/v1/sandbox/a/port/80",
                "//b%2Fc/../?d=/e",
            ),
            ("/v1/sandbox/a/port/80/?", "/v1/sandbox/a/port/80", "/?"),
        ] {
            assert_eq!(split_target(url), (prefix, target), "{url}");
        }
    }
}
