//! The output and the standard input of a process.

use sandbox_protocol::process::{StdinOffsetError, StdinWritten};
use sandbox_protocol::{ErrorCode, event, route_table};
use serde_json::json;

use super::TAG;
use crate::answer::Answer;
use crate::failure::LOST;
use crate::operation::Operation;

const LOG: &str = "\
The events of `exec`, with the same ids, and `gap`: the schema `Gap`, where events are missing. The log keeps the first and the last \
part of the output, `log_bytes` of each.

Without `follow`, the response ends with the last event so far. With it, the response ends when the process has ended. A follower that \
reads slowly gets a `gap`, and does not slow the process. A client that lost its connection continues after the last event that it \
has got, by `since` or `Last-Event-ID`.";

const STDIN: &str = "\
Writes the body to the standard input of a process that was started with `stdin_open`, and answers once the pipe has taken all of it. \
A process that does not read makes the client wait.

With `Stdin-Offset`, every byte is written exactly once: a body whose offset is not that of the next byte is 409 `stdin_offset` with the \
right one. A client that lost its connection in the middle sends the rest from there.";

/// `GET …/process/{pid}/log`.
pub fn log() -> Operation {
    let events = "id: 1\nevent: stdout\ndata: aGVsbG8K\n\nid: 2\nevent: exit\ndata: {\"exit_code\":0}\n\n";
    Operation::new(
        route_table::Operation::GetProcessLog,
        TAG,
        "Get the log of a process",
    )
    .text(LOG)
    .of_process()
    .since()
    .parameter(
        "query",
        "follow",
        "Whether the response goes on until the process has ended.",
        json!({ "type": "boolean", "default": false }),
    )
    .parameter(
        "query",
        "stream",
        "Only this output.",
        json!({ "type": "string", "enum": ["stdout", "stderr"] }),
    )
    .answers(
        200,
        Answer::text(
            event::CONTENT_TYPE,
            "Event stream; with `Accept: text/plain` the output itself",
        )
        .example(events.into())
        .or(Answer::text("text/plain", "").example("hello\n".into()))
        .codes(&[
            ErrorCode::ExecError,
            ErrorCode::SessionError,
            ErrorCode::ExecTransportError,
            ErrorCode::SandboxExpired,
        ]),
    )
    .fails(400, ErrorCode::InvalidRequest, "since must be the id of an event")
}

/// `POST …/process/{pid}/stdin`.
pub fn write_stdin() -> Operation {
    let rejected = json!({
        "error": "the next byte of the standard input has the offset 6",
        "code": "stdin_offset",
        "offset": 6,
    });
    Operation::new(
        route_table::Operation::WriteProcessStdin,
        TAG,
        "Write to the standard input of a process",
    )
    .text(STDIN)
    .of_process()
    .parameter(
        "query",
        "close",
        "Whether the standard input ends after the body.",
        json!({ "type": "boolean", "default": false }),
    )
    .parameter(
        "header",
        "Stdin-Offset",
        "The offset of the first byte of the body: the number of bytes before it.",
        json!({ "type": "integer", "minimum": 0 }),
    )
    .bytes_body()
    .answers(
        200,
        Answer::json::<StdinWritten>("The pipe has taken all bytes", json!({ "offset": 6 })),
    )
    .answers(
        409,
        Answer::json::<StdinOffsetError>("`stdin_offset` or `stdin_closed`", rejected),
    )
    .fails(
        409,
        ErrorCode::StdinOffset,
        "the next byte of the standard input has the offset 6",
    )
    .fails(
        409,
        ErrorCode::StdinClosed,
        "the standard input is closed, after 6 bytes",
    )
    .fails(
        413,
        ErrorCode::PayloadTooLarge,
        "payload too large: the limit is 1048576 bytes",
    )
    .fails(502, ErrorCode::ExecTransportError, LOST)
}
