//! `POST /v1/sandbox/{id}/mount`, `POST /v1/sandbox/{id}/unmount`

use sandbox_protocol::mount::{MAX_BODY, Source};
use sandbox_protocol::{Invalid, MountRequest, SandboxId, UnmountRequest, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::{body, object};
use crate::config::{Config, MountConfig};
use crate::error::ApiError;

/// 200 `{"ok":true}` once the bucket answers at its path, 502 `mount_error` with the reason when it does not.
pub async fn mount(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    let mut mount = MountRequest::parse(&body::read(&request, MAX_BODY).await?)?;
    complete(&mut mount, &config.mount)?;
    object::forward_json(env, id, sandboxd::MOUNT, &request, &mount.to_json()).await
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
        Source::Remote(remote) if !remote.credential_proxy => remote,
        Source::Remote(_) => return Err(not_supported("options.credentialProxy")),
        Source::Binding(_) => return Err(not_supported("binding")),
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

/// Both need somebody outside the sandbox who answers its S3 requests.
fn not_supported(field: &str) -> ApiError {
    ApiError::NotSupported(format!(
        "{field} is not supported: the Worker would have to answer the sandbox's S3 requests, and this version takes \
         none from its containers or local sandboxes. Mount the bucket by options.endpoint with credentials"
    ))
}
