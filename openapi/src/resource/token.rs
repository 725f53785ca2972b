//! Tokens.

use sandbox_protocol::token::{TokenCreated, TokenRequest};
use sandbox_protocol::{ErrorCode, route_table};
use serde_json::json;

use crate::answer::Answer;
use crate::operation::{Operation, Required};

pub fn operations() -> Vec<Operation> {
    let created = json!({
        "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3NjcyMjU2MDAsInNjb3BlIjoiZXhlYyJ9.x9VLcNOgIgcxR4fLZ1Y4mVY0G3vGWbXCvT8rM7XZq1g",
        "expiresAt": "2026-01-01T00:00:00.000Z",
    });
    vec![
        Operation::new(route_table::Operation::CreateToken, "Tokens", "Create a token")
            .text(
                "Signs a JSON Web Token, which is accepted in the place of the key for one sandbox or all, for the operations of \
                 its scopes, until it expires. Nothing is stored: a token ends when it expires, or when the key that signed it, \
                 the first of `SANDBOX_API_KEY`, is removed.",
            )
            .json_body::<TokenRequest>(
                Required::Yes,
                |body| TokenRequest::parse(body).map(drop),
                &[
                    ("One sandbox", json!({ "sandbox": "gaytemzugu3doobzmfrggzdfmy", "scopes": ["exec", "files:read"], "expiresIn": "1h" })),
                    ("All sandboxes", json!({ "scopes": ["manage"], "expiresIn": "24h" })),
                ],
            )
            .refuses_besides(&["expiresIn must be"])
            .answers(200, Answer::json::<TokenCreated>("Token was created", created))
            .fails(
                400,
                ErrorCode::InvalidRequest,
                "expiresIn must be a duration like 30m or 24h, of at most 8784h",
            )
            .fails(
                413,
                ErrorCode::PayloadTooLarge,
                "payload too large: the limit is 16384 bytes",
            ),
    ]
}
