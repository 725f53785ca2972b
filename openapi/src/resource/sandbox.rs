//! Sandboxes themselves. The schemas of the bodies are in `protocol/src/sandbox/schema.rs`.

use sandbox_protocol::answer::{Running, SandboxCreated};
use sandbox_protocol::sandbox::{CreateRequest, SandboxInfo, SandboxPage, SettingsPatch};
use sandbox_protocol::{ErrorCode, route_table};
use serde_json::{Value, json};

use crate::answer::{Answer, Header};
use crate::operation::{Operation, Required};

const TAG: &str = "Sandboxes";

/// Messages about limits that no schema can say: those of bytes, of durations, of results of changes.
const BESIDES: [&str; 9] = [
    "name must have",
    "name cannot be",
    "env must have at most",
    "labels must be at most",
    "sleepAfter must be",
    "maxLifetime must be",
    "image must be one of",
    "autoSave.interval must be",
    "exclude paths must not",
];

const STORE_FAILED: &str = "the store of snapshots failed: SlowDown (503)";

fn info() -> Value {
    json!({
        "id": "gaytemzugu3doobzmfrggzdfmy",
        "name": "user-123",
        "state": "running",
        "bootId": "0d0a0b7e-5b1c-4c5e-8a46-0b6e7f1f6f0a",
        "createdAt": "2026-11-30T10:00:00.000Z",
        "startedAt": "2026-11-30T10:00:02.000Z",
        "lastActiveAt": "2026-11-30T10:01:00.000Z",
        "expiresAt": "2026-12-01T10:00:00.000Z",
        "labels": { "team": "search" },
        "settings": {
            "env": ["API_URL"],
            "sleepAfter": "10m",
            "keepAlive": false,
            "maxLifetime": "24h",
            "internet": true,
        },
        "ports": [3000],
        "mounts": [],
        "tunnels": [],
    })
}

fn answers_info(operation: Operation, description: &str) -> Operation {
    operation.answers(200, Answer::json::<SandboxInfo>(description, info()))
}

fn unavailable(operation: Operation) -> Operation {
    operation.fails(
        503,
        ErrorCode::SandboxUnavailable,
        "the Sandbox object did not answer: Network connection lost.",
    )
}

fn not_found(operation: Operation) -> Operation {
    operation.fails(
        404,
        ErrorCode::SandboxNotFound,
        "there is no sandbox gaytemzugu3doobzmfrggzdfmy: nothing was done with it yet, or it was destroyed",
    )
}

/// The errors of an operation that changes settings.
fn changes_settings(operation: Operation) -> Operation {
    operation
        .refuses_besides(&BESIDES)
        .fails(400, ErrorCode::InvalidRequest, "keepAlive must be a boolean")
        .fails(413, ErrorCode::PayloadTooLarge, "payload too large: the limit is 262144 bytes")
        .fails(
            501,
            ErrorCode::NotSupported,
            "image and instance are not supported here: sandboxes on this machine have its files and its memory",
        )
        .fails(404, ErrorCode::SnapshotNotFound, "there is no snapshot bz7k2m4qhgaytemzugu3doobzmfrggzdfmy")
        .fails(502, ErrorCode::SnapshotError, STORE_FAILED)
}

pub fn operations() -> Vec<Operation> {
    let labels = json!({ "labels": { "team": "search" }, "sleepAfter": "1h", "maxLifetime": "24h" });
    let listed = json!({ "sandboxes": [info()], "cursor": "MTc5NTk5NjgwMDAwMDphYmM" });
    vec![
        unavailable(changes_settings(Operation::new(route_table::Operation::CreateSandbox, TAG, "Create a sandbox")
            .text(
                "Returns the id of a sandbox of the warm pool, or else a new id, whose sandbox starts with the first operation \
                 that needs it. A body is needed only for settings. The same `name` gives the same sandbox: the settings of a \
                 body are then those that are changed.",
            )
            .json_body::<CreateRequest>(
                Required::No,
                |body| CreateRequest::parse(body).map(drop),
                &[
                    ("With a name", json!({ "name": "user-123" })),
                    ("With settings", labels.clone()),
                    ("With variables", json!({ "env": { "API_URL": "https://example.com" }, "keepAlive": true })),
                ],
            )
            .answers(200, Answer::json::<SandboxCreated>("Sandbox was created", json!({ "id": "gaytemzugu3doobzmfrggzdfmy" }))))),
        Operation::new(route_table::Operation::ListSandboxes, TAG, "List sandboxes")
            .text(
                "The sandboxes that were created with settings or have run, newest first. One without settings is not listed any \
                 more a day after it has stopped. Starts no sandbox.",
            )
            .parameter("query", "label", "A label that they must have, as `KEY:VALUE`. Several: all of them.", json!({ "type": "array", "items": { "type": "string", "pattern": "^[^:]+:" }, "maxItems": 8 }))
            .parameter("query", "state", "The state that they must be in.", json!({ "type": "string", "enum": ["new", "running", "stopped"] }))
            .parameter("query", "limit", "The most sandboxes on a page.", json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }))
            .parameter("query", "cursor", "The `cursor` of the page before.", json!({ "type": "string" }))
            .answers(200, Answer::json::<SandboxPage>("A page of the sandboxes", listed))
            .fails(400, ErrorCode::InvalidRequest, "label must be KEY:VALUE"),
        not_found(answers_info(
            Operation::new(route_table::Operation::GetSandbox, TAG, "Get a sandbox").text(
                "Its state, its settings, and what it has open. Starts no sandbox.",
            ),
            "The sandbox",
        )),
        changes_settings(answers_info(
            Operation::new(route_table::Operation::UpdateSandbox, TAG, "Change the settings of a sandbox")
                .text(
                    "`env`, `labels`, `sleepAfter`, `keepAlive` and `maxLifetime` take effect at once, the others with the next start: \
                     see `pendingRestart`. Starts no sandbox.",
                )
                .json_body::<SettingsPatch>(
                    Required::No,
                    |body| SettingsPatch::parse(body).map(drop),
                    &[
                        ("Labels and sleep", labels),
                        ("Remove a variable", json!({ "env": { "API_URL": null } })),
                    ],
                ),
            "The sandbox with its new settings",
        )),
        Operation::new(route_table::Operation::StopSandbox, TAG, "Put a sandbox to sleep")
            .text(
                "Ends its commands. The next operation that needs it starts it again, with its settings. Its files are gone, unless \
                 `autoSave` is on: then the workspace is saved first, and a failure leaves the sandbox running.",
            )
            .answers(204, Answer::empty("Sandbox does not run"))
            .fails(502, ErrorCode::SnapshotError, "the workspace was not saved: the store of snapshots failed: SlowDown (503)"),
        answers_info(
            Operation::new(route_table::Operation::StartSandbox, TAG, "Start a sandbox")
                .text(
                    "Starts the sandbox if it does not run. With `without=restore`, its workspace is empty, and the last save of \
                     `autoSave` becomes a snapshot that stays.",
                )
                .parameter("query", "without", "What the start leaves out.", json!({ "type": "string", "enum": ["restore"] })),
            "The sandbox, which runs",
        ),
        Operation::new(route_table::Operation::IsSandboxRunning, TAG, "Get whether a sandbox is running")
            .text("This operation starts no sandbox.")
            .answers(200, Answer::json::<Running>("State of the sandbox", json!({ "running": true }))),
        Operation::new(route_table::Operation::DeleteSandbox, TAG, "Destroy a sandbox")
            .text(
                "Ends the commands of the sandbox and deletes its files. Starts no sandbox; an unknown id is 204, too. With `save`, \
                 the workspace is saved first as a snapshot that stays; when that fails, nothing is destroyed.",
            )
            .parameter("query", "save", "Whether the workspace is saved.", json!({ "type": "boolean", "default": false }))
            .answers(
                204,
                Answer::empty("Sandbox does not exist any more")
                    .header(Header::text("Sandbox-Saved", "The id of the snapshot, with `save`.")),
            )
            .fails(
                501,
                ErrorCode::NotSupported,
                "there is no store of snapshots: bind an R2 bucket as SNAPSHOTS in wrangler.jsonc, or set SNAPSHOT_BUCKET and \
                 SNAPSHOT_ENDPOINT with a key",
            )
            .fails(502, ErrorCode::SnapshotError, "the workspace was not saved: the sandbox does not run"),
    ]
}
