//! The workspace as an archive.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::answer::Done;
use sandbox_protocol::route_table;
use serde_json::json;

use crate::answer::Answer;
use crate::operation::Operation;

const TAG: &str = "Workspace";

const PERSIST: &str = "\
Returns /workspace, or the directory `path`, as a tar. Hard links become separate files. Sockets, FIFOs, devices and mounts are left out. An error after the \
first bytes breaks the connection off; an archive that ends properly is complete.";

const HYDRATE: &str = "\
Unpacks a tar, plain or compressed by gzip or Zstandard, over /workspace, or over the directory `path`. The workspace changes only when the whole archive was \
received and read. Files that the archive does not have remain. Members that lead out of the workspace are refused.";

pub fn operations() -> Vec<Operation> {
    vec![
        persist(route_table::Operation::PersistWorkspace, "Archive the workspace"),
        persist(
            route_table::Operation::DownloadWorkspace,
            "Download the workspace as an archive",
        ),
        Operation::new(
            route_table::Operation::HydrateWorkspace,
            TAG,
            "Restore the workspace from an archive",
        )
        .text(HYDRATE)
        .bytes_body()
        .answers(
            200,
            Answer::json::<Done>("Archive was unpacked", json!({ "ok": true })),
        )
        .parameter(
            "query",
            "path",
            "The directory to unpack into, absolute or relative to /workspace. It is created if it is missing. Default: /workspace.",
            json!({ "type": "string" }),
        )
        .contained()
        .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
        .fails(409, ErrorCode::FileExists, "/workspace/main.py exists")
        .fails(400, ErrorCode::InvalidRequest, "Empty tar payload")
        .fails(400, ErrorCode::InvalidRequest, "the archive is truncated")
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 1048576 bytes",
        )
        .fails(
            502,
            ErrorCode::WorkspaceArchiveWriteError,
            "write failed: Input/output error (os error 5)",
        )
        .fails(
            507,
            ErrorCode::NoSpace,
            "write failed: No space left on device (os error 28)",
        ),
    ]
}

fn persist(operation: route_table::Operation, summary: &'static str) -> Operation {
    Operation::new(operation, TAG, summary)
        .text(PERSIST)
        .parameter(
            "query",
            "excludes",
            "Patterns of files to leave out, as of `tar --exclude`, relative to /workspace, separated by commas. A pattern that \
             ends in a slash matches directories only. Blanks around a pattern are ignored. No pattern may have `..`.",
            json!({ "type": "string", "example": "node_modules,*.log" }),
        )
        .parameter(
            "query",
            "format",
            "The format of the archive.",
            json!({ "type": "string", "enum": ["tar", "tar.gz", "tar.zst"], "default": "tar" }),
        )
        .parameter(
            "query",
            "path",
            "The directory to archive, absolute or relative to /workspace. Default: /workspace.",
            json!({ "type": "string" }),
        )
        .contained()
        .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
        .missing()
        .answers(200, Answer::bytes("Archive"))
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "exclude paths must not contain \"..\"",
        )
        .fails(
            502,
            ErrorCode::WorkspaceArchiveReadError,
            "persist failed: Input/output error (os error 5)",
        )
}
