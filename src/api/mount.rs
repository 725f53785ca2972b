//! `POST /v1/sandbox/{id}/mount`, `POST /v1/sandbox/{id}/unmount`

use js_sys::Reflect;
use sandbox_protocol::mount::{Binding, MAX_BODY, S3fsOption, Source};
use sandbox_protocol::{Invalid, MountRequest, ObjectCall, SandboxId, UnmountRequest, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::object;
use crate::body;
use crate::config::{Config, MountConfig, SnapshotConfig};
use crate::error::ApiError;
use crate::sandbox::s3::is_bucket;
use crate::snapshot::store;

/// 200 `{"ok":true}` once the bucket answers at its path, 502 `mount_error` with the reason when it
/// does not, 501 `not_supported` when the sandbox cannot reach the server that would answer for it.
pub async fn mount(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    request: Request,
) -> Result<Response, ApiError> {
    let (requested, json) = body::read_checked(&request, MAX_BODY, MountRequest::parse).await?;
    if requested.is_proxied() {
        require_token_in_requests(&requested)?;
    }
    if let Source::Binding(name) = &requested.source {
        require_bucket(env, name)?;
    }
    let mut mount = requested.clone();
    complete(&mut mount, &config.mount, config.snapshots.as_ref())?;
    let json = if mount == requested {
        json
    } else {
        mount.to_json().into()
    };
    if !mount.is_proxied() {
        return object::forward_json(env, id, sandboxd::MOUNT, &request, &json).await;
    }
    object::forward_json(env, id, ObjectCall::Mount.path(), &request, &json).await
}

/// 200 `{"ok":true}` once nothing is mounted there any more, 502 `unmount_error` with the reason
/// when that fails. Starts no sandbox.
pub async fn unmount(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    object::forward_checked(
        env,
        id,
        sandboxd::UNMOUNT,
        &request,
        &[],
        MAX_BODY,
        UnmountRequest::parse,
    )
    .await
}

/// Completes the client's request with the deployment's settings. The sandbox sees no secret but
/// the one it needs.
fn complete(
    mount: &mut MountRequest,
    config: &MountConfig,
    snapshots: Option<&SnapshotConfig>,
) -> Result<(), ApiError> {
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
        let is_store = snapshots.is_some_and(|store| {
            (&store.remote.bucket, &store.remote.endpoint) == (&remote.bucket, &remote.endpoint)
        });
        if is_store {
            return Err(Invalid::request(
                "the store of snapshots cannot be mounted with the deployment's credentials",
            )
            .into());
        }
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

/// Rejects options with which s3fs would not send its token as the access key of a Signature
/// Version 4.
fn require_token_in_requests(mount: &MountRequest) -> Result<(), Invalid> {
    let omits_token = |option: &S3fsOption| matches!(option.name(), "public_bucket" | "sigv2");
    match mount.s3fs_options.iter().find(|option| omits_token(option)) {
        None => Ok(()),
        Some(option) => Err(Invalid::request(format!(
            "options.s3fsOptions must not have {:?} with binding or options.credentialProxy",
            option.name()
        ))),
    }
}

/// Checks that the deployment has a bucket of this name.
fn require_bucket(env: &Env, name: &Binding) -> Result<(), Invalid> {
    let binding = Reflect::get(env, &name.as_str().into()).unwrap_or_default();
    let problem = match () {
        () if binding.is_undefined() => "there is none of that name",
        () if !is_bucket(&binding) => "that one is something else",
        // It has the files of all sandboxes.
        () if name.as_str() == store::BINDING => "that one is the store of snapshots",
        () => return Ok(()),
    };
    Err(Invalid::request(format!(
        "binding must name an R2 bucket of the Worker (r2_buckets in wrangler.jsonc); {problem}: {}",
        name.as_str()
    )))
}
