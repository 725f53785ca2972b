//! `/v1/sandbox/{id}/s3/…`: forwards requests of the s3fs in a sandbox to its Sandbox object, which
//! knows its grants. Nothing is changed or buffered.

use sandbox_protocol::{SandboxId, s3};
use web_sys::{Request, Response};
use worker::Env;

use super::upload::Upload;
use crate::caller::Caller;
use crate::config::Config;
use crate::discard::discard;
use crate::error::ApiError;
use crate::s3::authorization::Credential;
use crate::s3::{S3Error, token};
use crate::sandbox::s3::error_response;
use crate::url;

/// The object's response, in the form of S3. 403 for external callers without a token that was
/// signed for this sandbox: then no object is called.
pub async fn serve(
    env: &Env,
    config: &Config,
    id: &SandboxId,
    caller: &Caller,
    request: Request,
) -> Result<Response, ApiError> {
    if *caller == Caller::External && !has_signed_token(config, id, &request).await? {
        discard(&request).await;
        let error = S3Error::AccessDenied("no token of this sandbox is shown");
        return Ok(error_response(&error)?);
    }
    let url = request.url();
    let target = url::path_and_query(&url);
    let target = target.strip_prefix(s3::path(id).as_str()).unwrap_or_default();
    let path = format!("{}{target}", s3::OBJECT);
    let upload = Upload::with_headers(&request, request.headers())?;
    upload.forward(env, id, &path, &request).await
}

async fn has_signed_token(config: &Config, id: &SandboxId, request: &Request) -> Result<bool, ApiError> {
    let authorization = request.headers().get("authorization")?;
    match authorization.and_then(|header| Credential::parse(&header)) {
        Some(credential) => token::is_signed(config, id, &credential.token).await,
        None => Ok(false),
    }
}
