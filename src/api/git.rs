//! `POST /v1/sandbox/{id}/git/checkout`

use sandbox_protocol::git::MAX_BODY;
use sandbox_protocol::{CheckoutRequest, SandboxId, sandboxd};
use web_sys::{Request, Response};
use worker::Env;

use super::object;
use crate::error::ApiError;

/// 200 with the [`sandbox_protocol::git::Checkout`], or git's stream for a client that accepts one; 409
/// and 502 with the codes of git.
pub async fn checkout(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let (path, parse) = (sandboxd::GIT_CHECKOUT, CheckoutRequest::parse);
    object::forward_checked(env, id, path, &request, &["accept"], MAX_BODY, parse).await
}
