//! Processes.

mod streams;

use sandbox_protocol::exec::ExecRequest;
use sandbox_protocol::process::{
    DEFAULT_GRACE_MS, MAX_GRACE_MS, Process, ProcessList, ProcessesEnded, SignalRequest, WaitRequest,
    WaitResult,
};
use sandbox_protocol::{ErrorCode, ProcessId, route_table};
use serde_json::{Value, json};

use self::streams::{log, write_stdin};
use crate::answer::Answer;
use crate::failure::LOST;
use crate::operation::{Operation, Required};
use crate::schema;

const TAG: &str = "Processes";

const TOO_LONG: &str = "payload too large: the limit is 65536 bytes";

const START: &str = "\
Starts a command that does not depend on its client, and answers once its program was started, or after 1 s. The body is that of \
`exec`; `detached`, `linger_ms` and the place in the queue of a session do not apply.

The same request with the same `id` starts nothing: it gets the process that is there. Another request with that `id` is 409. The id of \
a process that has ended can be used again with `replace`.

A process keeps its sandbox awake, unless `keep_awake` is false. A process that could not be started has the state `failed`, or \
`exited` with the exit code 126 or 127.";

const ATTACH: &str = "\
The request must open a WebSocket (`Upgrade: websocket`). A browser sends the key as the parameter `authorization`: `Bearer …`.

Binary frames from the client are standard input. Binary frames from the bridge are one byte, 1 for standard output or 2 for standard \
error, and then the output. Text frames are JSON objects:

- `{\"type\":\"close_stdin\"}` from the client: the end of the standard input
- `{\"type\":\"exit\",\"exit_code\":N}` from the bridge: the process ended; with `signal` and `timed_out` when they apply. The \
connection then closes with code 1000
- `{\"type\":\"gap\",\"first\":N,\"last\":N}` from the bridge: the log does not have these events any more
- `{\"type\":\"error\",\"message\":text}` from the bridge: an error

The process waits for this client, so that no output is lost while it is connected.";

const WAIT: &str = "\
Answers when the condition holds, the process has ended, or `timeout_ms` is over; `state` says which. Output from before the request counts. \
A response that takes long begins with spaces, which JSON ignores. An error after that has the status 200, and the body of an error.";

pub fn operations() -> Vec<Operation> {
    vec![
        start(),
        Operation::new(route_table::Operation::ListProcesses, TAG, "List processes")
            .text(
                "Processes and commands of `exec`, the newest first, also the last 1000 that have ended. A sandbox that is not \
                 running has none.",
            )
            .parameter(
                "query",
                "state",
                "Only processes that are running.",
                json!({ "type": "string", "enum": ["running"] }),
            )
            .parameter(
                "query",
                "limit",
                "The largest number of processes in the response.",
                json!({ "type": "integer", "default": 100, "minimum": 1, "maximum": 1000 }),
            )
            .parameter(
                "query",
                "cursor",
                "The `cursor` of the page before.",
                json!({ "type": "string" }),
            )
            .answers(
                200,
                Answer::json::<ProcessList>("A page of the processes", json!({ "processes": [process()] })),
            )
            .fails(400, ErrorCode::InvalidRequest, "state must be running"),
        Operation::new(route_table::Operation::EndProcesses, TAG, "End all processes")
            .text(
                "Ends every process and every command of `exec` with all their children: SIGTERM, and SIGKILL after `grace_ms`. \
                 Forgets them, and those that had ended before.",
            )
            .with_grace()
            .answers(
                200,
                Answer::json::<ProcessesEnded>("All have ended", json!({ "ended": 1 })),
            )
            .fails(502, ErrorCode::ExecTransportError, LOST),
        Operation::new(route_table::Operation::GetProcess, TAG, "Get a process")
            .of_process()
            .answers(200, Answer::json::<Process>("Process", process())),
        Operation::new(route_table::Operation::EndProcess, TAG, "End a process")
            .text("Ends the process with all its children: SIGTERM, and SIGKILL after `grace_ms`. Forgets it and its log.")
            .of_process()
            .with_grace()
            .answers(204, Answer::empty("It has ended"))
            .fails(502, ErrorCode::ExecTransportError, LOST),
        log(),
        write_stdin(),
        Operation::new(route_table::Operation::AttachProcess, TAG, "Attach to a process")
            .text(ATTACH)
            .for_browsers("AuthorizationQuery")
            .of_process()
            .since()
            .answers(101, Answer::empty("WebSocket of the process"))
            .fails(400, ErrorCode::InvalidRequest, "WebSocket upgrade required")
            .fails(502, ErrorCode::ExecTransportError, LOST),
        signal(),
        wait(),
    ]
}

fn start() -> Operation {
    Operation::new(route_table::Operation::StartProcess, TAG, "Start a process")
        .text(START)
        .in_session(
            "The session whose directory and variables the process gets. It does not end with the session.",
        )
        .json_body::<ExecRequest>(
            Required::Yes,
            ExecRequest::check,
            &[
                (
                    "A server",
                    json!({ "command": "python3 -m http.server 8000", "id": "web" }),
                ),
                (
                    "A language server",
                    json!({ "argv": ["pyright-langserver", "--stdio"], "stdin_open": true }),
                ),
            ],
        )
        .answers(200, Answer::json::<Process>("Process", process()))
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "argv and command cannot both be set",
        )
        .fails(
            403,
            ErrorCode::InvalidRequest,
            "cwd must resolve to a location within /workspace",
        )
        .fails(
            409,
            ErrorCode::ProcessExists,
            "there is a process web from another request",
        )
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 33554432 bytes",
        )
        .fails(502, ErrorCode::ExecTransportError, LOST)
}

fn signal() -> Operation {
    Operation::new(route_table::Operation::SignalProcess, TAG, "Signal a process")
        .text("Sends a signal to the process and all its children.")
        .of_process()
        .json_body::<SignalRequest>(
            Required::Yes,
            |body| SignalRequest::parse(body).map(drop),
            &[
                ("A name", json!({ "signal": "SIGINT" })),
                ("A number", json!({ "signal": 2 })),
            ],
        )
        .answers(204, Answer::empty("The signal was sent"))
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "signal must be the name or the number of a signal, like SIGINT or 2",
        )
        .fails(409, ErrorCode::ProcessEnded, "the process web has ended")
        .fails(413, ErrorCode::PayloadTooLarge, TOO_LONG)
        .fails(502, ErrorCode::ExecTransportError, LOST)
}

fn wait() -> Operation {
    Operation::new(route_table::Operation::WaitForProcess, TAG, "Wait for a process")
        .text(WAIT)
        .of_process()
        .json_body::<WaitRequest>(
            Required::Yes,
            |body| WaitRequest::parse(body).map(drop),
            &[
                ("The end", json!({ "for": "exit", "timeout_ms": 60_000 })),
                (
                    "A server",
                    json!({ "for": "port", "port": 8000, "path": "/", "status": 200, "timeout_ms": 60_000 }),
                ),
                (
                    "Output",
                    json!({ "for": "log", "pattern": "listening on \\S+", "stream": "stdout", "timeout_ms": 60_000 }),
                ),
            ],
        )
        .refuses_besides(&["pattern must have at most", "status needs a path"])
        .answers(
            200,
            Answer::json::<WaitResult>("The wait is over", json!({ "state": "ready", "status": 200 })),
        )
        .fails(400, ErrorCode::InvalidRequest, "for must be exit, port or log")
        .fails(413, ErrorCode::PayloadTooLarge, TOO_LONG)
        .fails(502, ErrorCode::ExecTransportError, LOST)
}

fn process() -> Value {
    json!({
        "id": "web",
        "argv": ["bash", "-c", "python3 -m http.server 8000"],
        "cwd": "/workspace",
        "state": "running",
        "pid": 42,
        "startedAt": "2026-01-01T00:00:00.000Z",
        "stdoutBytes": 0,
        "stderrBytes": 0,
        "logTruncated": false,
        "ports": [8000],
    })
}

impl Operation {
    /// The operation is on the process of its path.
    fn of_process(self) -> Self {
        self.parameter(
            "path",
            "pid",
            "The id of the process. It is not the id that the kernel gives.",
            schema::of_request::<ProcessId>(),
        )
        .fails(400, ErrorCode::InvalidRequest, "Invalid process ID format")
        .fails(404, ErrorCode::ProcessNotFound, "there is no process web")
    }

    /// Adds the time between SIGTERM and SIGKILL.
    fn with_grace(self) -> Self {
        self.parameter(
            "query",
            "grace_ms",
            "The time between SIGTERM and SIGKILL, in milliseconds.",
            json!({ "type": "integer", "default": DEFAULT_GRACE_MS, "minimum": 0, "maximum": MAX_GRACE_MS }),
        )
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "grace_ms must be a whole number from 0 to 600000",
        )
    }

    /// Adds the id of the last event that the client has got.
    fn since(self) -> Self {
        self.parameter(
            "query",
            "since",
            "The id of the last event that the client has got. Takes precedence over `Last-Event-ID`.",
            json!({ "type": "integer", "minimum": 0 }),
        )
        .parameter(
            "header",
            "Last-Event-ID",
            "The same as `since`, as browsers send it.",
            json!({ "type": "integer", "minimum": 0 }),
        )
    }
}
