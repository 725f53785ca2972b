//! Terminals.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::session::SessionId;
use serde_json::json;

use crate::answer::Answer;
use crate::operation::{Method, Operation};
use crate::schema;

const TEXT: &str = "\
The request must be that of a WebSocket (`Upgrade: websocket`). A browser, which cannot choose its headers, shows the key as \
the parameter `authorization`, `Bearer …`.

Binary frames are the terminal's bytes, both ways. Text frames are JSON objects:

- from the bridge first `{\"type\":\"ready\"}`; at the end `{\"type\":\"exit\",\"code\":N}`, with `signal` where one ended the \
program, and then the close with 1000; `{\"type\":\"error\",\"message\"}` when something is wrong
- from the client `{\"type\":\"resize\",\"cols\":N,\"rows\":N}`

A terminal of a session waits a minute for its client to come back, and then shows it what it has printed.";

const MODE: &str = "\
What runs. `shell`: a login shell, at once. `command`: the first binary frame, without the LF that it may end in. `auto`: the \
first binary frame decides; a line that ends in LF is a command.";

pub fn operations() -> Vec<Operation> {
    let side = |default: u16| json!({ "type": "integer", "default": default, "minimum": 1, "maximum": 1000 });
    vec![
        Operation::new(
            "ptyTerminal",
            Method::Get,
            "/v1/sandbox/{id}/pty",
            "Terminals",
            "Open a terminal",
        )
        .text(TEXT)
        .for_browsers("AuthorizationQuery")
        .in_sandbox()
        .parameter("query", "cols", "Characters in a row.", side(80))
        .parameter("query", "rows", "Rows.", side(24))
        .parameter(
            "query",
            "mode",
            MODE,
            json!({ "type": "string", "enum": ["auto", "shell", "command"], "default": "auto" }),
        )
        .parameter(
            "query",
            "shell",
            "The shell: an absolute path, or a name to look for in `PATH`.",
            json!({ "type": "string", "pattern": "^(/[a-zA-Z0-9._+/-]{0,254}|[a-zA-Z0-9._+-]{1,255})$" }),
        )
        .parameter(
            "query",
            "session",
            "The session that the terminal belongs to; the same as the header, which goes before it.",
            schema::of_request::<SessionId>(),
        )
        .in_session("The session that the terminal belongs to.")
        .answers(101, Answer::empty("The terminal's WebSocket"))
        .fails(400, ErrorCode::InvalidRequest, "WebSocket upgrade required")
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "cols and rows must be valid numbers, 1 to 1000",
        ),
    ]
}
