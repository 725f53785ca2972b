//! Sessions.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::route_table;
use sandbox_protocol::session::{CreateSession, SessionCreated, SessionDeleted, SessionId};
use serde_json::json;

use crate::answer::Answer;
use crate::failure::LOST;
use crate::operation::{Operation, Required};
use crate::schema;

const TAG: &str = "Sessions";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            route_table::Operation::CreateSession,
            TAG,
            "Create a session",
        )
        .text(
            "A session is shell state that outlives a command: the working directory, exported variables, and of bash also \
             functions, aliases and options. The first use of a session id creates the session, too. The same request again \
             succeeds; another `cwd`, `env` or `timeout_ms` for the same id is 409.",
        )
        .json_body::<CreateSession>(
            Required::No,
            |body| CreateSession::parse(body).map(drop),
            &[
                ("No fields", json!({})),
                (
                    "All fields",
                    json!({ "id": "work", "cwd": "/workspace", "env": { "GREETING": "hello" }, "timeout_ms": 60000 }),
                ),
            ],
        )
        .answers(
            200,
            Answer::json::<SessionCreated>("Session exists", json!({ "id": "work" })),
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
            "there is a session work with another cwd, env or timeout_ms",
        )
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 1048576 bytes",
        )
        .fails(502, ErrorCode::SessionError, LOST),
        Operation::new(
            route_table::Operation::DeleteSession,
            TAG,
            "Delete a session",
        )
        .text(
            "Ends the running command of the session. Background processes of earlier commands continue. Starts no sandbox: a \
             sandbox that is not running has no sessions.",
        )
        .parameter("path", "sid", "The id of the session.", schema::of_request::<SessionId>())
        .answers(
            200,
            Answer::json::<SessionDeleted>(
                "Session is deleted, and its command has ended",
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
    /// Adds the header that names a session.
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
