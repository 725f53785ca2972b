//! Commands.

use sandbox_protocol::exec::ExecRequest;
use sandbox_protocol::route;
use sandbox_protocol::{ErrorCode, event};
use serde_json::json;

use crate::answer::{Answer, Header};
use crate::failure::LOST;
use crate::operation::{Operation, Required};

const TEXT: &str = "\
`argv` is executed without a shell. A bare builtin (`cd`, `export`…) runs in a shell.

The response is a stream of Server-Sent Events. Each event has an `id`, counted from 1:

- `stdout`, `stderr`: base64 of at most 48 KiB of output. The decoded pieces in order are the output, byte for byte. A piece never splits a \
character of text
- `exit`: the schema `Exit`. The last event
- `error`: the schema `ErrorResponse` with the code `exec_error`, `session_error` or `exec_transport_error`. The last event, sent only when \
the end of the command is not known

A silent stream carries a comment at least every 5 s. When the client disconnects, the command is ended with all its processes, unless it is \
`detached`. Exit codes: 127 when the program was not found, 126 when it cannot be executed, 128+N when signal N ended it, 124 after a timeout.";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            route::Operation::ExecCommand,
            "Commands",
            "Run a command",
        )
        .text(TEXT)
        .in_session("The session of the command. The first use creates it. Commands of a session run one after another.")
        .json_body::<ExecRequest>(
            Required::Yes,
            ExecRequest::check,
            &[
                (
                    "A command",
                    json!({ "argv": ["sh", "-c", "echo hello from $(uname)"] }),
                ),
                (
                    "All fields",
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
        .fails(502, ErrorCode::ExecTransportError, LOST),
    ]
}

fn stream() -> Answer {
    let example = "id: 1\nevent: stdout\ndata: aGVsbG8gZnJvbSBMaW51eAo=\n\nid: 2\nevent: exit\ndata: {\"exit_code\":0}\n\n";
    Answer::text(event::CONTENT_TYPE, "Event stream of the command")
        .header(Header::text("Cache-Control", "`no-cache`"))
        .codes(&[
            ErrorCode::ExecError,
            ErrorCode::SessionError,
            ErrorCode::ExecTransportError,
        ])
        .example(example.into())
}
