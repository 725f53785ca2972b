//! Sandboxes themselves.

use sandbox_protocol::answer::{Running, SandboxCreated};
use serde_json::json;

use crate::answer::Answer;
use crate::operation::{Method, Operation};

const TAG: &str = "Sandboxes";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new("createSandbox", Method::Post, "/v1/sandbox", TAG, "Get a new sandbox")
            .text(
                "Gives an id that names no other sandbox: one that waits in the warm pool, or else one that starts with \
                 the first operation that needs it. A body is ignored.",
            )
            .answers(200, Answer::json::<SandboxCreated>("A sandbox", json!({ "id": "gaytemzugu3doobzmfrggzdfmy" }))),
        Operation::new("isSandboxRunning", Method::Get, "/v1/sandbox/{id}/running", TAG, "See whether a sandbox runs")
            .text("Starts nothing.")
            .of_sandbox()
            .answers(200, Answer::json::<Running>("Whether it runs", json!({ "running": true }))),
        Operation::new("deleteSandbox", Method::Delete, "/v1/sandbox/{id}", TAG, "Destroy a sandbox")
            .text("Ends its commands and forgets its files. Starts nothing: an id that has nothing is 204 too.")
            .of_sandbox()
            .answers(204, Answer::empty("Nothing of it is left")),
    ]
}
