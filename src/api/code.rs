//! `/v1/sandbox/{id}/context`, `/v1/sandbox/{id}/run-code` and `/v1/sandbox/{id}/language`. Creating a
//! context and running code start a sandbox.

use sandbox_protocol::code::{MAX_BODY, MAX_CONTEXT_BODY};
use sandbox_protocol::process::LAST_EVENT_ID_HEADER;
use sandbox_protocol::{ContextId, ContextRequest, RunCodeRequest, SandboxId, sandboxd};
use web_sys::{Headers, Request, Response};
use worker::Env;

use super::object;
use crate::error::ApiError;

/// 200 with the [`sandbox_protocol::code::Context`]; 501 when there is no kernel for its language.
pub async fn create(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    object::forward_checked(
        env,
        id,
        sandboxd::CONTEXT,
        &request,
        &[],
        MAX_CONTEXT_BODY,
        ContextRequest::parse,
    )
    .await
}

/// 200 with the contexts.
pub async fn list(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    object::forward(env, id, sandboxd::CONTEXT, &request, &Headers::new()?, None).await
}

/// `DELETE`: 204 once the kernel has ended. `POST` of a part, `/interrupt` or `/restart`: 204, or 200
/// with the context.
pub async fn forward(
    env: &Env,
    id: &SandboxId,
    context: &ContextId,
    part: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let path = sandboxd::context_url(context, part);
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}

/// 200 with an image of a result. `number` and `media_type` are as they stand in the URL.
pub async fn output(
    env: &Env,
    id: &SandboxId,
    context: &ContextId,
    number: &str,
    media_type: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let path = sandboxd::context_url(context, &format!("/output/{number}/{media_type}"));
    object::forward(env, id, &path, &request, &Headers::new()?, None).await
}

/// 200 with the [`sandbox_protocol::code::Execution`], or the stream for a client that accepts one.
pub async fn run(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    let names = ["accept", LAST_EVENT_ID_HEADER];
    let parse = RunCodeRequest::parse;
    object::forward_checked(env, id, sandboxd::RUN_CODE, &request, &names, MAX_BODY, parse).await
}

/// 200 with the languages.
pub async fn languages(env: &Env, id: &SandboxId, request: Request) -> Result<Response, ApiError> {
    object::forward(env, id, sandboxd::LANGUAGE, &request, &Headers::new()?, None).await
}
