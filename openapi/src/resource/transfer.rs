//! Operations with paths in their bodies: moves, copies, edits, searches.

use sandbox_protocol::file::{
    CopyRequest, EditMismatchError, EditRequest, Edited, MoveRequest, NDJSON, SearchRequest, SearchResult,
    Transferred,
};
use sandbox_protocol::{ErrorCode, FileRoots, route_table};
use serde_json::json;

use super::file::TAG;
use crate::answer::Answer;
use crate::operation::{Operation, Required};

const MOVE: &str = "\
Renames a file, a symbolic link (not what it leads to) or a directory. A program that has the file at the new path open keeps it. To \
another mount it is copied first, and the old one then removed. Nothing happens when both paths lead to the same file.";

const COPY: &str = "\
Copies a file, or with `recursive` a directory. Links at both paths are followed; links in a directory are copied as links. The new path \
leads to nothing or to what it did before until the copy is whole. Permissions are copied without set-id bits; the copy belongs to the \
user of the commands. Sockets and devices in a directory are left out and counted.";

pub fn operations() -> Vec<Operation> {
    vec![
        transfer(
            route_table::Operation::MoveFile,
            "Move a file or a directory",
            MOVE,
        )
        .json_body::<MoveRequest>(
            Required::Yes,
            |body| MoveRequest::parse(body, &FileRoots::default()).map(drop),
            &[(
                "A file",
                json!({ "from": "/workspace/a.txt", "to": "/workspace/b.txt" }),
            )],
        )
        .answers(
            200,
            Answer::json::<Transferred>("It was moved", json!({ "ok": true })),
        ),
        transfer(
            route_table::Operation::CopyFile,
            "Copy a file or a directory",
            COPY,
        )
        .json_body::<CopyRequest>(
            Required::Yes,
            |body| CopyRequest::parse(body, &FileRoots::default()).map(drop),
            &[(
                "A directory",
                json!({ "from": "/workspace/src", "to": "/workspace/copy", "recursive": true }),
            )],
        )
        .answers(
            200,
            Answer::json::<Transferred>("It was copied", json!({ "ok": true })),
        ),
        edit(),
        search(),
    ]
}

const EDIT: &str = "\
All edits of all files are checked first. Then the new versions take the place of the old ones, in all files or in none. A text must \
occur exactly once, unless `all` is set; occurrences that overlap are several. The files keep their permissions and owners.";

const SEARCH: &str = "\
Searches the files of a tree by the engine of ripgrep. Leaves out what `.gitignore` and `.ignore` name, names that begin with a dot, \
binary files, links, and paths that are not UTF-8. Starts no sandbox: one that is not running has no files.

With `Accept: application/x-ndjson` the response is one match a line, as they are found: in no order, and without a limit unless \
`maxResults` is set. The last line is `{\"end\":true,\"matches\":N,\"truncated\":false}`. A response without it is not whole.";

fn edit() -> Operation {
    let mismatch = json!({
        "error": "the text of edit 0 occurs 2 times in /workspace/main.py",
        "code": "edit_mismatch",
        "path": "/workspace/main.py",
        "edit": 0,
        "found": 2,
    });
    let edited = json!({ "files": [{ "path": "/workspace/main.py", "etag": "\"5a-1f\"", "replaced": 1 }] });
    with_paths(route_table::Operation::EditFiles, "Edit files", EDIT)
        .json_body::<EditRequest>(
            Required::Yes,
            |body| EditRequest::parse(body, &FileRoots::default()).map(drop),
            &[(
                "One replacement",
                json!({ "files": [{ "path": "main.py", "edits": [{ "old": "port = 80", "new": "port = 8080" }] }] }),
            )],
        )
        .refuses_besides(&["files has the path"])
        .answers(200, Answer::json::<Edited>("All files were changed", edited))
        .answers(
            409,
            Answer::json::<EditMismatchError>("`edit_mismatch`", mismatch),
        )
        .fails(
            409,
            ErrorCode::EditMismatch,
            "the text of edit 0 occurs 2 times in /workspace/main.py",
        )
        .fails(
            412,
            ErrorCode::PreconditionFailed,
            "/workspace/main.py has changed, or does not exist: the condition of the request does not hold",
        )
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 8388608 bytes",
        )
        .writable()
}

fn search() -> Operation {
    let found = json!({ "path": "/workspace/main.py", "line": 3, "column": 5, "text": "    port = 80" });
    let lines = format!(
        "{found}\n{}\n",
        json!({ "end": true, "matches": 1, "truncated": false })
    );
    let result = json!({ "matches": [found], "truncated": false });
    with_paths(route_table::Operation::SearchFiles, "Search files", SEARCH)
        .json_body::<SearchRequest>(
            Required::Yes,
            |body| SearchRequest::parse(body, &FileRoots::default()).map(drop),
            &[
                ("A text", json!({ "pattern": "TODO" })),
                (
                    "A regular expression",
                    json!({ "pattern": "fn \\w+", "regex": true, "glob": ["*.rs", "!target"], "context": 2 }),
                ),
            ],
        )
        .answers(
            200,
            Answer::json::<SearchResult>("The matches", result)
                .or(Answer::text(NDJSON, "").example(lines.into())),
        )
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 1048576 bytes",
        )
}

fn transfer(operation: route_table::Operation, summary: &'static str, text: &'static str) -> Operation {
    with_paths(operation, summary, text)
        .fails(409, ErrorCode::FileExists, "/workspace/b.txt exists")
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 65536 bytes",
        )
        .writable()
}

fn with_paths(operation: route_table::Operation, summary: &'static str, text: &'static str) -> Operation {
    Operation::new(operation, TAG, summary)
        .text(text)
        .in_session("Has no effect: paths of files start at /workspace in every session.")
        .fails(400, ErrorCode::InvalidRequest, "path must not be empty")
        .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
        .contained()
        .missing()
        .reading()
}
