//! Sandboxes themselves.

use sandbox_protocol::answer::{Running, SandboxCreated};
use sandbox_protocol::route;
use serde_json::json;

use crate::answer::Answer;
use crate::operation::Operation;

const TAG: &str = "Sandboxes";

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(route::Operation::CreateSandbox, TAG, "Create a sandbox")
            .text(
                "Returns the id of a sandbox of the warm pool, or else a new id, whose sandbox starts with the first operation \
                 that needs it. A request body is ignored.",
            )
            .answers(200, Answer::json::<SandboxCreated>("Sandbox was created", json!({ "id": "gaytemzugu3doobzmfrggzdfmy" }))),
        Operation::new(route::Operation::IsSandboxRunning, TAG, "Get whether a sandbox is running")
            .text("This operation starts no sandbox.")
            .answers(200, Answer::json::<Running>("State of the sandbox", json!({ "running": true }))),
        Operation::new(route::Operation::DeleteSandbox, TAG, "Destroy a sandbox")
            .text("Ends the commands of the sandbox and deletes its files. Starts no sandbox; an unknown id is 204, too.")
            .answers(204, Answer::empty("Sandbox does not exist any more")),
    ]
}
