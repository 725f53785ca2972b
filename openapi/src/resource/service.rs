//! The bridge itself.

use sandbox_protocol::answer::{Done, Unhealthy};
use sandbox_protocol::route_table;
use sandbox_protocol::{ErrorBody, ErrorCode};
use serde_json::json;

use crate::answer::{Answer, Header};
use crate::operation::Operation;
use crate::schema;

const TAG: &str = "Service";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(route_table::Operation::HealthCheck, TAG, "Check the bridge")
            .answers(200, Answer::json::<Done>("Bridge is configured", json!({ "ok": true })))
            .answers(503, unhealthy())
            .fails(503, ErrorCode::NotConfigured, "bindings are missing: WarmPool"),
        Operation::new(
            route_table::Operation::HeadHealth,
            TAG,
            "Check the bridge, without a body",
        )
        .answers(200, Answer::empty("Bridge is configured"))
        .answers(503, Answer::empty("Bridge is not configured")),
        page(route_table::Operation::GetOpenApiSchema, "Get the OpenAPI document").answers(200, document()),
        page(route_table::Operation::OpenExplorer, "Open the explorer")
            .text("Opens a page that shows this document and can call its operations, with the key that the page was opened with.")
            .answers(200, Answer::text("text/html", "Explorer page")),
        page(route_table::Operation::OpenExplorerShort, "Open the explorer")
            .text("Opens the same page as `/v1/openapi.html`.")
            .answers(200, Answer::text("text/html", "Explorer page")),
    ]
}

fn page(operation: route_table::Operation, summary: &'static str) -> Operation {
    Operation::new(operation, TAG, summary)
        .for_browsers("TokenQuery")
        .parameter(
            "header",
            "If-None-Match",
            "Answers 304 if the content still has this `ETag`.",
            json!({ "type": "string" }),
        )
        .answers(304, Answer::empty("Client's copy is current"))
}

fn document() -> Answer {
    Answer::new(
        "application/json",
        json!({ "type": "object" }),
        "OpenAPI document",
    )
    .header(Header::text(
        "ETag",
        "Entity tag, which changes with the document",
    ))
}

/// The body lists missing bindings. A wrong variable is an ordinary error.
fn unhealthy() -> Answer {
    let schemas = [schema::of_answer::<Unhealthy>(), schema::of_answer::<ErrorBody>()];
    let description = "Bridge is not configured: the missing bindings or the wrong variable";
    Answer::new("application/json", json!({ "anyOf": schemas }), description).example(json!({
        "ok": false,
        "missing": ["WarmPool"],
        "error": "bindings are missing: WarmPool",
        "code": "not_configured",
    }))
}
