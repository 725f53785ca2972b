//! Terminals.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::route_table;
use sandbox_protocol::session::SessionId;
use serde_json::json;

use crate::answer::Answer;
use crate::failure::LOST;
use crate::operation::Operation;
use crate::schema;

const TEXT: &str = "\
The request must open a WebSocket (`Upgrade: websocket`). A browser cannot set headers of a WebSocket, so it sends the key as the \
parameter `authorization`: `Bearer …`.

Binary frames are the bytes of the terminal, in both directions. Text frames are JSON objects:

- `{\"type\":\"ready\"}` from the bridge: the first frame
- `{\"type\":\"exit\",\"code\":N}` from the bridge: the program ended; with `signal` when a signal ended it. The connection then \
closes with code 1000
- `{\"type\":\"error\",\"message\":text}` from the bridge: an error
- `{\"type\":\"resize\",\"cols\":N,\"rows\":N}` from the client: the new size of the window

A terminal of a session waits 60 seconds for its client to reconnect, and then replays the end of its output.";

const MODE: &str = "\
The program of the terminal. `shell`: a login shell. `command`: the command line in the first binary frame, with or without LF at \
its end. `auto`: a command if the first binary frame ends in LF, otherwise a login shell.";

pub fn operations() -> Vec<Operation> {
    let side = |default: u16| json!({ "type": "integer", "default": default, "minimum": 1, "maximum": 1000 });
    vec![
        Operation::new(
            route_table::Operation::PtyTerminal,
            "Terminals",
            "Open a terminal",
        )
        .text(TEXT)
        .for_browsers("AuthorizationQuery")
        .parameter(
            "query",
            "cols",
            "The width of the window, in characters.",
            side(80),
        )
        .parameter(
            "query",
            "rows",
            "The height of the window, in characters.",
            side(24),
        )
        .parameter(
            "query",
            "mode",
            MODE,
            json!({ "type": "string", "enum": ["auto", "shell", "command"], "default": "auto" }),
        )
        .parameter(
            "query",
            "shell",
            "Another shell than bash: an absolute path, or a name in `PATH`.",
            json!({ "type": "string", "pattern": "^(/[a-zA-Z0-9._+/-]{0,254}|[a-zA-Z0-9._+-]{1,255})$" }),
        )
        .parameter(
            "query",
            "session",
            "The session of the terminal. The header `Session-Id` takes precedence.",
            schema::of_request::<SessionId>(),
        )
        .in_session("The session of the terminal.")
        .answers(101, Answer::empty("WebSocket of the terminal"))
        .fails(400, ErrorCode::InvalidRequest, "WebSocket upgrade required")
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "cols and rows must be valid numbers, 1 to 1000",
        )
        .fails(502, ErrorCode::ExecTransportError, LOST),
    ]
}
