//! `POST /v1/sandbox/{id}/mount`, `POST /v1/sandbox/{id}/unmount`

use js_sys::Reflect;
use sandbox_protocol::mount::{Binding, MAX_BODY, S3fsOption, Source};
use sandbox_protocol::object::ORIGIN_HEADER;
use sandbox_protocol::{Invalid, MountRequest, ObjectCall, SandboxId, UnmountRequest, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::{body, object};
use crate::config::{Config, MountConfig};
use crate::error::ApiError;
use crate::sandbox::s3::is_bucket;
use crate::url;

/// 200 `{"ok":true}` once the bucket answers at its path, 502 `mount_error` with the reason when it does not, 501
/// `not_supported` when the sandbox cannot reach who would answer for it.
pub async fn mount(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    let mut mount = MountRequest::parse(&body::read(&request, MAX_BODY).await?)?;
    if !mount.is_proxied() {
        complete(&mut mount, &config.mount)?;
        return object::forward_json(env, id, sandboxd::MOUNT, &request, &mount.to_json()).await;
    }
    shows_a_token(&mount)?;
    match &mount.source {
        Source::Binding(name) => find(env, name)?,
        Source::Remote(_) => complete(&mut mount, &config.mount)?,
    }
    let headers = body::json_headers()?;
    if config.runtime_url.is_some()
        && let Some(origin) = url::origin(&request.url())
    {
        headers.set(ORIGIN_HEADER, &origin)?;
    }
    let (path, json) = (ObjectCall::Mount.path(), mount.to_json().into());
    object::forward(env, id, path, &request, &headers, Some(&json)).await
}

/// 200 `{"ok":true}` once nothing is mounted there any more, 502 `unmount_error` with the reason when that fails.
pub async fn unmount(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let unmount = UnmountRequest::parse(&body::read(&request, MAX_BODY).await?)?;
    object::forward_json(env, id, sandboxd::UNMOUNT, &request, &unmount.to_json()).await
}

/// Adds what the deployment knows to what the client left out. The sandbox sees no secret but the one it needs.
fn complete(mount: &mut MountRequest, config: &MountConfig) -> Result<(), ApiError> {
    let is_public = mount.is_public();
    let remote = match &mut mount.source {
        Source::Remote(remote) => remote,
        Source::Binding(_) => return Ok(()),
    };
    if remote.endpoint.is_none() {
        remote.endpoint = config.r2_endpoint.clone();
    }
    if remote.endpoint.is_none() {
        return Err(Invalid::request(
            "options.endpoint is missing, and the deployment knows none: name the S3 endpoint, or set R2_ACCOUNT_ID",
        )
        .into());
    }
    if remote.credentials.is_none() && !is_public {
        remote.credentials = config.credentials(remote.is_r2()).cloned();
    }
    if remote.credentials.is_none() && !is_public {
        return Err(ApiError::Mount(
            "no credentials found. Pass options.credentials, or set R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY, or \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for the deployment"
                .into(),
        ));
    }
    Ok(())
}

/// s3fs must show its token as an access key, by signatures of version 4.
fn shows_a_token(mount: &MountRequest) -> Result<(), Invalid> {
    let hides = |option: &S3fsOption| matches!(option.name(), "public_bucket" | "sigv2");
    match mount.s3fs_options.iter().find(|option| hides(option)) {
        None => Ok(()),
        Some(option) => Err(Invalid::request(format!(
            "options.s3fsOptions must not have {:?} with binding or options.credentialProxy",
            option.name()
        ))),
    }
}

/// Whether the deployment has a bucket of this name.
fn find(env: &Env, name: &Binding) -> Result<(), Invalid> {
    let binding = Reflect::get(env, &name.as_str().into()).unwrap_or_default();
    let wrong = match () {
        () if binding.is_undefined() => "there is none of that name",
        () if !is_bucket(&binding) => "that one is something else",
        () => return Ok(()),
    };
    Err(Invalid::request(format!(
        "binding must name an R2 bucket of the Worker (r2_buckets in wrangler.jsonc); {wrong}: {}",
        name.as_str()
    )))
}
