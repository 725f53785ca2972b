//! The workspace as an archive.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::answer::Done;
use serde_json::json;

use crate::answer::Answer;
use crate::operation::{Method, Operation};

const TAG: &str = "Workspace";

const PERSIST: &str = "\
Hard links are written as files, sockets and FIFOs are left out. What goes wrong after the first bytes breaks the connection \
off; an archive that ends properly is complete.";

const HYDRATE: &str = "\
Takes a tar as it is, in gzip or in Zstandard. Until the whole archive was received and understood, the workspace is as it \
was. What is in the workspace and not in the archive stays. No member may lead out of the workspace.";

pub fn operations() -> Vec<Operation> {
    vec![
        persist(
            "persistWorkspace",
            Method::Post,
            "Take the workspace out as an archive",
        ),
        persist(
            "downloadWorkspace",
            Method::Get,
            "Take the workspace out as an archive, from a link",
        ),
        Operation::new(
            "hydrateWorkspace",
            Method::Post,
            "/v1/sandbox/{id}/hydrate",
            TAG,
            "Put an archive into the workspace",
        )
        .text(HYDRATE)
        .in_sandbox()
        .bytes_body()
        .answers(
            200,
            Answer::json::<Done>("All of it is in the workspace", json!({ "ok": true })),
        )
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

fn persist(id: &'static str, method: Method, summary: &'static str) -> Operation {
    Operation::new(id, method, "/v1/sandbox/{id}/persist", TAG, summary)
        .text(PERSIST)
        .in_sandbox()
        .parameter(
            "query",
            "excludes",
            "What is left out: patterns as of `tar --exclude`, with commas between. None may have `..`.",
            json!({ "type": "string", "example": "node_modules,*.log" }),
        )
        .parameter(
            "query",
            "format",
            "How it is packed.",
            json!({ "type": "string", "enum": ["tar", "tar.gz", "tar.zst"], "default": "tar" }),
        )
        .answers(200, Answer::bytes("The archive"))
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
