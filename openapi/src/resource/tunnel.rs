//! Tunnels.

use sandbox_protocol::route_table;
use sandbox_protocol::{ErrorCode, Port, Tunnel, TunnelRequest};
use serde_json::json;

use crate::answer::Answer;
use crate::operation::{Operation, Required};
use crate::schema;

pub fn operations() -> Vec<Operation> {
    let open = json!({
        "id": "6f1a3b6e-0000-4000-8000-000000000000",
        "port": 8080,
        "url": "https://app.example.com",
        "hostname": "app.example.com",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "name": "app",
        "listening": true,
    });
    vec![
        on_port(route_table::Operation::CreateTunnel,"Open a tunnel")
            .text(
                "Gives a port of the sandbox a public https address, by cloudflared. Without `name`, Cloudflare chooses a random \
                 hostname, and no account is needed. With `name`, the hostname is `{name}.{zone}` in the zone of the \
                 deployment. A port has one tunnel: the same request again returns it. `listening` tells whether a server listens on the port now; it may also start later. The \
                 tunnel ends with its sandbox.",
            )
            .json_body::<TunnelRequest>(
                Required::No,
                |body| TunnelRequest::parse(body).map(drop),
                &[("Random hostname", json!({})), ("Hostname in the zone", json!({ "name": "app" }))],
            )
            .answers(200, Answer::json::<Tunnel>("Tunnel is open", open))
            .fails(
                413,
                ErrorCode::PayloadTooLarge,
                "payload too large: the limit is 16384 bytes",
            ),
        on_port(route_table::Operation::DeleteTunnel,"Close a tunnel")
            .text("Closes the tunnel of a port. Starts no sandbox; a port without a tunnel is 204, too.")
            .answers(204, Answer::empty("Port has no tunnel")),
    ]
}

fn on_port(operation: route_table::Operation, summary: &'static str) -> Operation {
    Operation::new(operation, "Tunnels", summary)
        .parameter(
            "path",
            "port",
            "The port of the server in the sandbox.",
            schema::of_request::<Port>(),
        )
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "Invalid port: it must be a number from 1024 to 65535, and not 28671, where sandboxd listens",
        )
        .fails(
            502,
            ErrorCode::TunnelError,
            "tunnel failed: there is no cloudflared in the sandbox",
        )
}
