//! Commands.

use sandbox_protocol::exec::ExecRequest;
use sandbox_protocol::{ErrorCode, event};
use serde_json::json;

use crate::answer::{Answer, Header};
use crate::operation::{Method, Operation, Required};

const TEXT: &str = "\
`argv` is executed as it is, with no shell between; a bare builtin (`cd`, `export`…) runs in a shell.

The answer is a stream of Server-Sent Events, each with an `id` that counts from 1:

- `stdout`, `stderr`: base64 of at most 48 KiB, byte-exact when put together, cut between characters where it is text
- `exit`: the schema `Exit`. The last event
- `error`: the schema `ErrorResponse`, `exec_error`, `session_error` or `exec_transport_error`. The last event, only when the command's end \
is not known

A stream that is silent carries a comment at least every 5 s. When the client leaves, the command is ended with all its \
processes, unless it is `detached`. A program that is not found is 127, one that cannot be executed 126, one that a signal \
ended 128 plus the signal's number.";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            "execCommand",
            Method::Post,
            "/v1/sandbox/{id}/exec",
            "Commands",
            "Run a command",
        )
        .text(TEXT)
        .in_sandbox()
        .in_session("The session that the command runs in; made if there is none. Its commands run one after another.")
        .json_body::<ExecRequest>(
            Required::Yes,
            |body| ExecRequest::parse(body).map(drop),
            &[
                (
                    "Small",
                    json!({ "argv": ["sh", "-c", "echo hello from $(uname)"] }),
                ),
                (
                    "Everything",
                    json!({
                        "argv": ["sh", "-c", "cat; echo $GREETING"],
                        "timeout_ms": 60_000,
                        "cwd": "/workspace",
                        "env": { "GREETING": "hello" },
                        "stdin": { "base64": "aGVsbG8K" },
                        "detached": false,
                    }),
                ),
            ],
        )
        .answers(200, stream())
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "argv must be a non-empty array of strings",
        )
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
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 33554432 bytes",
        )
        .fails(
            502,
            ErrorCode::ExecError,
            "exec failed: Resource temporarily unavailable (os error 11)",
        )
        .fails(502, ErrorCode::SessionError, "256 commands wait for session work already"),
    ]
}

fn stream() -> Answer {
    let example = "id: 1\nevent: stdout\ndata: aGVsbG8gZnJvbSBMaW51eAo=\n\nid: 2\nevent: exit\ndata: {\"exit_code\":0}\n\n";
    Answer::text(event::CONTENT_TYPE, "The command's stream")
        .header(Header::text("Cache-Control", "`no-cache`"))
        .example(example.into())
}
