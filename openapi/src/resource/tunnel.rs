//! Tunnels.

use sandbox_protocol::{ErrorCode, Port, Tunnel, TunnelRequest};
use serde_json::json;

use crate::answer::Answer;
use crate::operation::{Method, Operation, Required};
use crate::schema;

pub fn operations() -> Vec<Operation> {
    let open = json!({
        "id": "6f1a3b6e-0000-4000-8000-000000000000",
        "port": 8080,
        "url": "https://app.example.com",
        "hostname": "app.example.com",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "name": "app",
    });
    vec![
        on_port("createTunnel", Method::Post, "Open a tunnel")
            .text(
                "Gives a port of the sandbox a public address, by cloudflared. Without `name`, Cloudflare makes up a hostname, \
                 and no account is needed; with it, the hostname is `{name}.{zone}` of the deployment's zone. The tunnel of a \
                 port is one: it is reused while it is open, and gone with the sandbox.",
            )
            .starting()
            .json_body::<TunnelRequest>(
                Required::No,
                |body| TunnelRequest::parse(body).map(drop),
                &[("Quick", json!({})), ("Named", json!({ "name": "app" }))],
            )
            .answers(200, Answer::json::<Tunnel>("It is open", open))
            .fails(
                413,
                ErrorCode::PayloadTooLarge,
                "payload too large: the limit is 16384 bytes",
            ),
        on_port("deleteTunnel", Method::Delete, "Close a tunnel")
            .text("Starts nothing: a port that has no tunnel is 204 too.")
            .answers(204, Answer::empty("There is none")),
    ]
}

fn on_port(id: &'static str, method: Method, summary: &'static str) -> Operation {
    let path = "/v1/sandbox/{id}/tunnel/{port}";
    Operation::new(id, method, path, "Tunnels", summary)
        .of_sandbox()
        .parameter(
            "path",
            "port",
            "The port, not that of sandboxd.",
            schema::of_request::<Port>(),
        )
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "Invalid port: it must be a number from 1024 to 65535, and not 3000, where sandboxd listens",
        )
        .fails(
            502,
            ErrorCode::TunnelError,
            "tunnel failed: there is no cloudflared in the sandbox",
        )
}
