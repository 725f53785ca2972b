//! The bridge itself.

use sandbox_protocol::answer::{Done, Unhealthy};
use sandbox_protocol::{ErrorBody, ErrorCode};
use serde_json::json;

use crate::answer::{Answer, Header};
use crate::operation::{Method, Operation};
use crate::schema;

const TAG: &str = "Service";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new("healthCheck", Method::Get, "/health", TAG, "See whether the bridge is set up")
            .open()
            .answers(200, Answer::json::<Done>("It is", json!({ "ok": true })))
            .answers(503, unhealthy())
            .fails(503, ErrorCode::NotConfigured, "bindings are missing: WarmPool"),
        Operation::new(
            "headHealth",
            Method::Head,
            "/health",
            TAG,
            "See whether the bridge is set up, without a body",
        )
        .open()
        .answers(200, Answer::empty("It is"))
        .answers(503, Answer::empty("It is not")),
        page("getOpenApiSchema", "/v1/openapi.json", "Get this document").answers(200, document()),
        page("openExplorer", "/v1/openapi.html", "Open the explorer")
            .text("A page to read this document in and to try its operations, with the key that it was opened with.")
            .answers(200, Answer::text("text/html", "The page")),
        page("openExplorerShort", "/v1/openapi", "Open the explorer")
            .text("The same page as `/v1/openapi.html`.")
            .answers(200, Answer::text("text/html", "The page")),
    ]
}

fn page(id: &'static str, path: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, Method::Get, path, TAG, summary)
        .for_browsers("TokenQuery")
        .parameter(
            "header",
            "If-None-Match",
            "304 if it is still the one with this `ETag`.",
            json!({ "type": "string" }),
        )
        .answers(304, Answer::empty("It is the one that the client has"))
}

fn document() -> Answer {
    Answer::of("application/json", json!({ "type": "object" }), "This document")
        .header(Header::text("ETag", "Changes with the document"))
}

/// Missing bindings are listed; a variable that is wrong is an error like any other.
fn unhealthy() -> Answer {
    let schemas = [schema::of_answer::<Unhealthy>(), schema::of_answer::<ErrorBody>()];
    let description = "It is not: what is missing, or which variable is wrong";
    Answer::of("application/json", json!({ "anyOf": schemas }), description).example(json!({
        "ok": false,
        "missing": ["WarmPool"],
        "error": "bindings are missing: WarmPool",
        "code": "not_configured",
    }))
}
