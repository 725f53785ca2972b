//! Directories, and the status of files.

use sandbox_protocol::file::{
    DEFAULT_LIMIT, DirectoryCreated, DirectoryPage, Entry, MAX_DEPTH, MAX_GLOB, MAX_LIMIT, NDJSON,
};
use sandbox_protocol::{ErrorCode, route_table};
use serde_json::{Value, json};

use super::file::{entry, on_file};
use crate::answer::Answer;
use crate::operation::Operation;

const LIST: &str = "\
Links are listed, not followed. Other mounts are entered. Starts no sandbox: of one that sleeps, the list is that of its last snapshot, and without one it is empty.

The response is a page of the entries, in the order of the bytes of their paths. With `Accept: application/x-ndjson` it is all of \
them, one `Entry` a line in no order, in little memory; `limit` and `cursor` have no effect. The last line is \
`{\"end\":true,\"entries\":N,\"unnamed\":N}`. A response without it is not whole.";

const CREATE: &str = "Creates missing parent directories. A directory that exists keeps its permissions, and `created` is false.";

pub fn operations() -> Vec<Operation> {
    vec![
        list(),
        on_file(route_table::Operation::CreateDirectory, "Create a directory", CREATE)
            .parameter(
                "query",
                "mode",
                "The permissions of the new directory, as octal digits.",
                json!({ "type": "string", "pattern": "^0?[0-7]{1,3}$", "default": "0755" }),
            )
            .answers(
                200,
                Answer::json::<DirectoryCreated>(
                    "The directory exists",
                    json!({ "ok": true, "created": true }),
                ),
            )
            .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
            .fails(409, ErrorCode::FileExists, "/workspace/main.py exists")
            .writable(),
        on_file(
            route_table::Operation::StatFile,
            "Get the status of a file",
            "The status of a file, a directory or a link. Starts no sandbox: of one that sleeps, it is that in its last snapshot.",
        )
        .asleep()
        .parameter(
            "query",
            "follow",
            "Whether a link is followed.",
            json!({ "type": "boolean", "default": false }),
        )
        .answers(200, Answer::json::<Entry>("Status", entry()))
        .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
        .missing()
        .reading(),
    ]
}

fn list() -> Operation {
    let number = |default: usize, maximum: usize| json!({ "type": "integer", "default": default, "minimum": 1, "maximum": maximum });
    let page: Value = json!({ "path": "/workspace", "entries": [entry()], "cursor": "main.py" });
    let lines = format!(
        "{}\n{}\n",
        entry(),
        json!({ "end": true, "entries": 1, "unnamed": 0 })
    );
    on_file(route_table::Operation::ListDirectory, "List a directory", LIST)
        .asleep()
        .parameter(
            "query",
            "depth",
            "The levels that are listed: 1 for the directory itself.",
            number(1, MAX_DEPTH),
        )
        .parameter(
            "query",
            "hidden",
            "Whether names that begin with a dot are listed.",
            json!({ "type": "boolean", "default": false }),
        )
        .parameter(
            "query",
            "glob",
            "The entries to list, such as `*.py` (names on any level) or `src/**/*.py` (paths below the directory).",
            json!({ "type": "string", "maxLength": MAX_GLOB }),
        )
        .parameter(
            "query",
            "limit",
            "The largest number of entries in the response.",
            number(DEFAULT_LIMIT, MAX_LIMIT),
        )
        .parameter(
            "query",
            "cursor",
            "The `cursor` of the page before.",
            json!({ "type": "string" }),
        )
        .answers(
            200,
            Answer::json::<DirectoryPage>("A page of the entries, or all of them", page)
                .or(Answer::text(NDJSON, "").example(lines.into())),
        )
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "depth must be a whole number from 1 to 4096",
        )
        .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
        .missing()
        .reading()
}
