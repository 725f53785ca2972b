//! Ports: the servers of a sandbox.

use sandbox_protocol::port::{PortList, PortWaitRequest, PortWaitResult};
use sandbox_protocol::preview::{ExposeRequest, ExposedPort};
use sandbox_protocol::{ErrorCode, ServerPort, route_table};
use serde_json::json;

use crate::answer::Answer;
use crate::failure::LOST;
use crate::operation::{Operation, Required};
use crate::schema;

const TAG: &str = "Ports";

const PROXY: &str = "\
Any method, and WebSockets: the request goes to the HTTP server on that port of the sandbox, at 127.0.0.1 or else at ::1. Path, query, \
body and headers are the client's, and the answer is the server's. Bodies are streamed in both directions, without a limit of size or \
time.

`Host` is `localhost:{port}`. `X-Forwarded-For` (where the client's address is known), `X-Forwarded-Host`, `X-Forwarded-Proto` and \
`X-Forwarded-Prefix` are set. The key or token does not reach the server, nor do headers of the connection.";

const EXPOSE: &str = "\
Gives the port an address that needs no key, `{port}-{id}-{token}.PREVIEW_HOST`, for browsers: every path of it is the server's. The same \
request again gives the same address. It outlives sleep and restarts, and ends with `DELETE` of the port or of the sandbox.

A visit keeps the sandbox awake. One to a sandbox that sleeps is 503 `sandbox_not_running`, or starts it if `wake` is true. Starts no sandbox.";

const INVALID_PORT: &str =
    "Invalid port: it must be a number from 1 to 65535, and not 28671, where sandboxd listens";

const TCP: &str = "\
The request must open a WebSocket (`Upgrade: websocket`). A browser cannot set headers of a WebSocket, so it sends the key as the \
parameter `authorization`: `Bearer …`.

Binary frames are the bytes of one TCP connection to the port, in both directions. A frame of the client has at most 1 MiB. When either \
side closes, the other is closed: with code 1000 after the end of the server's bytes, 1011 when its connection broke. The text \
`{\"type\":\"close_write\"}` ends the client's bytes only.";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(route_table::Operation::ListPorts, TAG, "List ports")
            .text(
                "The TCP ports on which processes of the sandbox listen, and those that are exposed, with their addresses. Starts \
                 no sandbox.",
            )
            .answers(
                200,
                Answer::json::<PortList>(
                    "Ports, in ascending order",
                    json!({ "ports": [{ "port": 3000, "listening": true }] }),
                ),
            ),
        Operation::new(route_table::Operation::ExposePort, TAG, "Expose a port")
            .text(EXPOSE)
            .parameter(
                "path",
                "port",
                "The port of the server in the sandbox.",
                schema::of_request::<ServerPort>(),
            )
            .json_body::<ExposeRequest>(
                Required::No,
                |body| ExposeRequest::parse(body).map(drop),
                &[
                    ("An address with a token", json!({ "name": "web" })),
                    (
                        "One that starts the sandbox, for a day",
                        json!({ "token": "my_app", "expiresIn": "24h", "wake": true }),
                    ),
                    ("One that is always the same", json!({ "access": "public" })),
                ],
            )
            .refuses_besides(&[
                "token must be absent when access is public",
                "expiresIn must be a duration like 30m or 24h, of at most 8784h",
            ])
            .answers(
                200,
                Answer::json::<ExposedPort>(
                    "Port is exposed",
                    json!({
                        "port": 3000,
                        "url": "https://3000-abc-k3m7qa-q2w3e4r5t6y7.preview.example.com/",
                        "name": "web",
                        "access": "token",
                        "token": "k3m7qa-q2w3e4r5t6y7",
                        "wake": false,
                    }),
                ),
            )
            .fails(400, ErrorCode::InvalidRequest, INVALID_PORT)
            .fails(
                400,
                ErrorCode::InvalidRequest,
                "the id of the sandbox is too long for the name of a host: with this port and token, it can have at most 38 characters",
            )
            .fails(
                404,
                ErrorCode::SandboxNotFound,
                "there is no sandbox a: nothing was done with it yet, or it was destroyed",
            )
            .fails(
                413,
                ErrorCode::PayloadTooLarge,
                "payload too large: the limit is 16384 bytes",
            )
            .fails(501, ErrorCode::NotSupported, "PREVIEW_HOST is not set, …"),
        Operation::new(route_table::Operation::UnexposePort, TAG, "Stop exposing a port")
            .text(
                "The address of the port ends, and open connections of its visitors, WebSockets included, are closed. Starts no \
                 sandbox.",
            )
            .parameter(
                "path",
                "port",
                "The port of the server in the sandbox.",
                schema::of_request::<ServerPort>(),
            )
            .answers(204, Answer::empty("Port is not exposed"))
            .fails(400, ErrorCode::InvalidRequest, INVALID_PORT),
        Operation::new(route_table::Operation::WaitForPort, TAG, "Wait for a port")
            .text(
                "Waits until a process of the sandbox listens on the port, and, with `path`, until its HTTP server answers \
                 there. An answer that takes long begins with spaces. Starts no sandbox.",
            )
            .on_server_port()
            .json_body::<PortWaitRequest>(
                Required::No,
                |body| PortWaitRequest::parse(body).map(drop),
                &[
                    ("A server", json!({ "timeout_ms": 60_000 })),
                    (
                        "An answer of it",
                        json!({ "path": "/", "status": 200, "timeout_ms": 60_000 }),
                    ),
                ],
            )
            .refuses_besides(&["status needs a path"])
            .answers(
                200,
                Answer::json::<PortWaitResult>("The wait is over", json!({ "state": "ready", "status": 200 })),
            )
            .fails(
                413,
                ErrorCode::PayloadTooLarge,
                "payload too large: the limit is 65536 bytes",
            ),
        Operation::new(route_table::Operation::ProxyPort, TAG, "Send a request to a port")
            .text(PROXY)
            .parameter(
                "path",
                "path",
                "The path of the request, without its first slash.",
                json!({ "type": "string" }),
            )
            .on_server_port()
            .answers(101, Answer::empty("WebSocket of the server"))
            .answers(
                200,
                Answer::new("*/*", json!({}), "The answer of the server, which can have any status"),
            )
            .connects(),
        Operation::new(route_table::Operation::ConnectTcp, TAG, "Connect to a port by TCP")
            .text(TCP)
            .for_browsers("AuthorizationQuery")
            .on_server_port()
            .answers(101, Answer::empty("WebSocket of the connection"))
            .fails(400, ErrorCode::InvalidRequest, "WebSocket upgrade required")
            .connects(),
    ]
}

impl Operation {
    /// The operation is on the port of its path.
    fn on_server_port(self) -> Self {
        self.parameter(
            "path",
            "port",
            "The port of the server in the sandbox.",
            schema::of_request::<ServerPort>(),
        )
        .fails(400, ErrorCode::InvalidRequest, INVALID_PORT)
        .fails(
            503,
            ErrorCode::SandboxNotRunning,
            "the sandbox a does not run, and requests to its ports do not start it",
        )
    }

    /// The operation connects to the server on the port.
    fn connects(self) -> Self {
        self.fails(
            502,
            ErrorCode::PortNotListening,
            "nothing listens on port 3000 of the sandbox",
        )
        .fails(
            502,
            ErrorCode::PortError,
            "the server on port 3000 did not answer: connection closed before message completed",
        )
        .fails(502, ErrorCode::ExecTransportError, LOST)
    }
}
