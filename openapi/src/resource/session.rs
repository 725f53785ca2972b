//! Sessions.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::session::{CreateSession, SessionCreated, SessionDeleted, SessionId};
use serde_json::json;

use crate::answer::Answer;
use crate::operation::{Method, Operation, Required};
use crate::schema;

const TAG: &str = "Sessions";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            "createSession",
            Method::Post,
            "/v1/sandbox/{id}/session",
            TAG,
            "Make a session",
        )
        .text(
            "Shell state that outlives a command: the working directory, exported variables, and of bash also functions, \
             aliases and options. A session is also made by its first use. Made again with the same body it is the same one.",
        )
        .in_sandbox()
        .json_body::<CreateSession>(
            Required::No,
            |body| CreateSession::parse(body).map(drop),
            &[
                ("Small", json!({})),
                (
                    "Everything",
                    json!({ "id": "work", "cwd": "/workspace", "env": { "GREETING": "hello" } }),
                ),
            ],
        )
        .answers(
            200,
            Answer::json::<SessionCreated>("The session", json!({ "id": "work" })),
        )
        .fails(400, ErrorCode::InvalidRequest, "Invalid session ID format")
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "cwd is not a directory: /workspace/missing",
        )
        .fails(
            403,
            ErrorCode::InvalidRequest,
            "cwd must resolve to a location within /workspace",
        )
        .fails(
            409,
            ErrorCode::SessionExists,
            "there is a session work with another cwd or env",
        )
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 1048576 bytes",
        )
        .fails(502, ErrorCode::SessionError, "there are 1000 sessions already"),
        Operation::new(
            "deleteSession",
            Method::Delete,
            "/v1/sandbox/{id}/session/{sid}",
            TAG,
            "Delete a session",
        )
        .text("Ends the command that runs in it. Processes that commands left in the background live on.")
        .in_sandbox()
        .parameter("path", "sid", "The session.", schema::of_request::<SessionId>())
        .answers(
            200,
            Answer::json::<SessionDeleted>(
                "It is gone, and the command that ran in it has ended",
                json!({ "success": true, "sessionId": "work" }),
            ),
        )
        .fails(400, ErrorCode::InvalidRequest, "Invalid session ID format")
        .fails(404, ErrorCode::SessionNotFound, "there is no session work")
        .fails(
            502,
            ErrorCode::SessionError,
            "the default session cannot be deleted",
        ),
    ]
}

impl Operation {
    /// It knows the header that names a session; `description` says what it means here.
    pub fn in_session(self, description: &str) -> Self {
        self.parameter(
            "header",
            "Session-Id",
            description,
            schema::of_request::<SessionId>(),
        )
        .fails(400, ErrorCode::InvalidRequest, "Invalid session ID format")
    }
}
