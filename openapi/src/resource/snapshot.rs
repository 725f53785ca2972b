//! Snapshots.

use sandbox_protocol::snapshot::{
    ForkRequest, ForkResult, RestoreRequest, Snapshot, SnapshotPage, SnapshotRequest,
};
use sandbox_protocol::{ErrorCode, FileRoots, route_table};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::operation::{Operation, Required};

const TAG: &str = "Snapshots";

const ID: &str = "bz7k2m4qhgaytemzugu3doobzmfrggzdfmy";

const NO_STORE: &str = "there is no store of snapshots: bind an R2 bucket as SNAPSHOTS in wrangler.jsonc, or set SNAPSHOT_BUCKET and \
     SNAPSHOT_ENDPOINT with a key";

const STORE_FAILED: &str = "the store of snapshots failed: SlowDown (503)";

/// How a slow answer begins.
macro_rules! slow {
    () => {
        "\n\nAn answer that takes longer than 5 s begins with status 200 and spaces, which JSON ignores. An error after that \
         is the body."
    };
}

const CREATE: &str = concat!(
    "\
Saves a directory of the sandbox, which is started if necessary, in the store of the deployment. Commands are stopped for the moment in \
which the directory is listed and files that are open for writing are copied. A file that changes while it is read is counted in \
`changed`.",
    slow!()
);

const RESTORE: &str = concat!(
    "\
Replaces the directory of the snapshot by what was saved. The archive is unpacked beside the directory and compared with the \
snapshot before the two are swapped. So the directory is the old or the new one, as a whole.",
    slow!()
);

const FORK: &str = concat!(
    "\
Creates new sandboxes with the files and the settings of this one, but not its name. Of a sandbox that runs, a snapshot is made, which \
is kept for seven days. Of one that does not run, it is the last one of `autoSave`. Each new sandbox starts with its first request. \
`sandboxes` has the id of each, or the error.",
    slow!()
);

fn snapshot() -> Value {
    json!({
        "id": ID,
        "name": "before the upgrade",
        "sandbox": "gaytemzugu3doobzmfrggzdfmy",
        "dir": "/workspace",
        "size": 5_242_880,
        "storedSize": 1_048_576,
        "files": 120,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "createdAt": "2026-11-30T10:00:00.000Z",
        "expiresAt": "2026-12-03T10:00:00.000Z",
        "kind": "archive",
        "autoSave": false,
    })
}

impl Operation {
    /// The operation is on the snapshot of its path.
    fn of_snapshot(self) -> Self {
        self.parameter(
            "path",
            "snapshot",
            "The id of the snapshot.",
            json!({ "type": "string", "pattern": "^[a-z2-7]{35}$" }),
        )
        .fails(400, ErrorCode::InvalidRequest, "Invalid snapshot ID format")
        .finds_snapshot()
    }

    /// The snapshot may not exist.
    fn finds_snapshot(self) -> Self {
        let text = "there is no snapshot bz7k2m4qhgaytemzugu3doobzmfrggzdfmy";
        self.fails(404, ErrorCode::SnapshotNotFound, text)
    }

    /// The operation needs the store.
    fn of_store(self) -> Self {
        self.fails(501, ErrorCode::NotSupported, NO_STORE)
            .fails(502, ErrorCode::SnapshotError, STORE_FAILED)
    }
}

pub fn operations() -> Vec<Operation> {
    let limit = "payload too large: the limit is 65536 bytes";
    vec![
        Operation::new(route_table::Operation::CreateSnapshot, TAG, "Create a snapshot")
            .text(CREATE)
            .json_body::<SnapshotRequest>(
                Required::No,
                |body| SnapshotRequest::parse(body, &FileRoots::default()).map(drop),
                &[
                    ("The workspace", json!({})),
                    (
                        "A directory, for three days",
                        json!({ "dir": "/workspace/app", "excludes": ["node_modules/"], "name": "before the upgrade", "ttl": "72h" }),
                    ),
                ],
            )
            .refuses_besides(&["name must have", "exclude paths must not", "ttl must be"])
            .answers(200, Answer::json::<Snapshot>("Snapshot was created", snapshot()))
            .fails(403, ErrorCode::InvalidRequest, "dir must resolve to a location within /workspace")
            .fails(404, ErrorCode::FileNotFound, "no such file or directory: /workspace/app")
            .fails(413, ErrorCode::PayloadTooLarge, limit)
            .of_store(),
        Operation::new(route_table::Operation::RestoreSnapshot, TAG, "Restore a snapshot")
            .text(RESTORE)
            .json_body::<RestoreRequest>(
                Required::Yes,
                |body| RestoreRequest::parse(body, &FileRoots::default()).map(drop),
                &[
                    ("A snapshot", json!({ "snapshot": ID })),
                    ("Into another directory", json!({ "snapshot": ID, "dir": "/workspace/copy" })),
                ],
            )
            .answers(200, Answer::json::<Snapshot>("Directory is as it was saved", snapshot()))
            .fails(403, ErrorCode::InvalidRequest, "dir must resolve to a location within /workspace")
            .finds_snapshot()
            .fails(409, ErrorCode::RestoreConflict, "a bucket is mounted at /workspace/data: unmount it first")
            .fails(413, ErrorCode::PayloadTooLarge, limit)
            .fails(502, ErrorCode::WorkspaceArchiveWriteError, "write failed: Input/output error (os error 5)")
            .fails(507, ErrorCode::NoSpace, "No space left on device (os error 28)")
            .of_store(),
        Operation::new(route_table::Operation::ForkSandbox, TAG, "Fork a sandbox")
            .text(FORK)
            .json_body::<ForkRequest>(
                Required::No,
                |body| ForkRequest::parse(body).map(drop),
                &[("One sandbox", json!({})), ("Ten sandboxes", json!({ "count": 10 }))],
            )
            .answers(
                200,
                Answer::json::<ForkResult>(
                    "New sandboxes",
                    json!({ "sandboxes": [{ "id": "mfzwizdbmrqxgzdbnruxgzltmu" }], "snapshot": ID }),
                ),
            )
            .fails(
                404,
                ErrorCode::SandboxNotFound,
                "there is no sandbox gaytemzugu3doobzmfrggzdfmy: nothing was done with it yet, or it was destroyed",
            )
            .fails(413, ErrorCode::PayloadTooLarge, limit)
            .of_store(),
        Operation::new(route_table::Operation::ListSnapshots, TAG, "List snapshots")
            .text("The snapshots in the store, the newest first, of sandboxes that are gone, too.")
            .parameter("query", "sandbox", "Only snapshots of this sandbox.", json!({ "type": "string", "pattern": "^[a-z2-7]{1,128}$" }))
            .parameter("query", "limit", "The most snapshots on a page.", json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }))
            .parameter("query", "cursor", "The `cursor` of the page before.", json!({ "type": "string", "pattern": "^[a-z2-7]{35}$" }))
            .answers(
                200,
                Answer::json::<SnapshotPage>("A page of the snapshots", json!({ "snapshots": [snapshot()] })),
            )
            .fails(400, ErrorCode::InvalidRequest, "cursor must be the cursor of a page before")
            .of_store(),
        Operation::new(route_table::Operation::GetSnapshot, TAG, "Get a snapshot")
            .of_snapshot()
            .answers(200, Answer::json::<Snapshot>("The snapshot", snapshot()))
            .of_store(),
        Operation::new(route_table::Operation::DeleteSnapshot, TAG, "Delete a snapshot")
            .text("A sandbox that begins with this snapshot cannot be started any more, unless with `without=restore`.")
            .of_snapshot()
            .answers(204, Answer::empty("Snapshot was deleted"))
            .of_store(),
    ]
}
