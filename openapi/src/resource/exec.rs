//! Commands.

use sandbox_protocol::exec::{ExecRequest, ExecResult};
use sandbox_protocol::route_table;
use sandbox_protocol::{ErrorCode, event};
use serde_json::json;

use crate::answer::{Answer, Header};
use crate::failure::LOST;
use crate::operation::{Operation, Required};

const TEXT: &str = "\
`argv` is executed without a shell. A bare builtin (`cd`, `export`…) runs in a shell. `command` is a command line for a shell.

The response is a stream of Server-Sent Events. Each event has an `id`, counted from 1:

- `stdout`, `stderr`: base64 of at most 48 KiB of output. The decoded pieces in order are the output, byte for byte. A piece never splits a \
character of text
- `exit`: the schema `Exit`. The last event
- `gap`: the schema `Gap`, only for a client that continues a stream whose events are no longer available
- `error`: the schema `ErrorResponse` with the code `exec_error`, `session_error` or `exec_transport_error`. The last event, sent only when \
the end of the command is not known

A silent stream carries a comment at least every 5 s. When the client disconnects, the command is ended with all its processes, unless it is \
`detached` or has `linger_ms`. In that time, the same request with the same `id` and with `Last-Event-ID` continues the stream. \
Without `Last-Event-ID` the stream begins anew; the command is not run again. A stream cannot be continued when its process is not \
there any more: 404.

A client that accepts `application/json`, and neither `*/*` nor `text/event-stream`, gets the result as one object: the schema `ExecResult`. \
A response that takes long begins with spaces, which JSON ignores. An error after that has the status 200, and the body of an error.

Every command is a process: its id is in the header `Process-Id`.

Exit codes: 127 when the program was not found, 126 when it cannot be executed, 128+N when signal N ended it, 124 after a timeout.";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            route_table::Operation::ExecCommand,
            "Commands",
            "Run a command",
        )
        .text(TEXT)
        .in_session("The session of the command. The first use creates it. Commands of a session run one after another.")
        .parameter(
            "header",
            "Last-Event-ID",
            "With `id`: the id of the last event that the client has got. The stream continues after it.",
            json!({ "type": "string" }),
        )
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
                        "linger_ms": 60_000,
                        "id": "greeting",
                        "replace": true,
                        "stdin_open": false,
                        "log_bytes": 1_048_576,
                        "keep_awake": true,
                    }),
                ),
                ("A command line", json!({ "command": "echo hello from $(uname)" })),
            ],
        )
        .answers(200, answer())
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
            404,
            ErrorCode::ProcessNotFound,
            "there is no process greeting",
        )
        .fails(
            409,
            ErrorCode::ProcessExists,
            "there is a process greeting from another request",
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
        .fails(
            502,
            ErrorCode::SessionError,
            "session work was deleted before the command was started",
        )
        .fails(502, ErrorCode::ExecTransportError, LOST),
    ]
}

fn answer() -> Answer {
    let example = "id: 1\nevent: stdout\ndata: aGVsbG8gZnJvbSBMaW51eAo=\n\nid: 2\nevent: exit\ndata: {\"exit_code\":0}\n\n";
    let result = json!({
        "exit_code": 0,
        "stdout": "hello from Linux\n",
        "stderr": "",
        "processId": "greeting",
    });
    Answer::text(
        event::CONTENT_TYPE,
        "Event stream of the command; with `Accept: application/json` its result",
    )
    .header(Header::text("Cache-Control", "`no-cache`"))
    .header(Header::text("Process-Id", "The id of the command's process."))
    .codes(&[
        ErrorCode::ExecError,
        ErrorCode::SessionError,
        ErrorCode::ExecTransportError,
        ErrorCode::SandboxExpired,
    ])
    .example(example.into())
    .or(Answer::json::<ExecResult>("", result))
}
