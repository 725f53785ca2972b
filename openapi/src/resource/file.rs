//! Files.

use sandbox_protocol::answer::{Done, Written};
use sandbox_protocol::file::{AttributesRequest, Entry};
use sandbox_protocol::{ErrorCode, route_table};
use serde_json::{Value, json};

use crate::answer::{Answer, Header};
use crate::operation::{Operation, Required};

pub const TAG: &str = "Files";

pub fn operations() -> Vec<Operation> {
    vec![
        on_file(route_table::Operation::ReadFile, "Read a file", READ)
            .asleep()
            .conditions()
            .parameter(
                "header",
                "Range",
                "One range of bytes: `bytes=0-99`, `bytes=100-` or `bytes=-100`.",
                text(),
            )
            .parameter(
                "header",
                "If-Range",
                "Applies `Range` only if the file still has this `ETag` or date.",
                text(),
            )
            .answers(200, file("Whole file"))
            .answers(
                206,
                file("Requested range of the file")
                    .header(Header::text("Content-Range", "Range and size, such as `bytes 0-99/1234`")),
            )
            .readable()
            .fails(
                416,
                ErrorCode::RangeNotSatisfiable,
                "range not satisfiable: the file has 5 bytes",
            ),
        on_file(
            route_table::Operation::HeadFile,"Get the headers of a file",
            "Returns the headers of `readFile` without the bytes.",
        )
        .asleep()
        .conditions()
        .answers(200, file("Headers of the file").without_body())
        .readable(),
        on_file(route_table::Operation::WriteFile,"Write a file", WRITE)
            .parameter(
                "query",
                "in_place",
                "Writes into the existing file instead of replacing it, so that watchers and programs that have the file \
                 open see the new bytes. The write is not atomic: readers can see a part of the file, and an upload \
                 that breaks off leaves a part.",
                json!({ "type": "boolean", "default": false }),
            )
            .parameter(
                "query",
                "append",
                "Adds the body to the end of the existing file: all of it, or nothing.",
                json!({ "type": "boolean", "default": false }),
            )
            .parameter(
                "query",
                "mode",
                "The permissions that the file gets, as octal digits. Absent: it keeps its own; a new file gets 0644.",
                json!({ "type": "string", "pattern": "^0?[0-7]{1,3}$" }),
            )
            .preconditions()
            .bytes_body()
            .answers(
                200,
                Answer::json::<Written>("File was written", json!({ "ok": true }))
                    .header(Header::text("ETag", "Strong entity tag of the new version")),
            )
            .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
            .fails(
                400,
                ErrorCode::InvalidRequest,
                "the upload broke off: its end is missing",
            )
            .fails(
                413,
                ErrorCode::PayloadTooLarge,
                "payload too large: the limit is 1048576 bytes",
            )
            .writable(),
        on_file(route_table::Operation::DeleteFile, "Delete a file or a directory", DELETE)
            .parameter(
                "query",
                "recursive",
                "Whether a directory is removed, with everything in it.",
                json!({ "type": "boolean", "default": false }),
            )
            .preconditions()
            .answers(200, Answer::json::<Done>("It was removed", json!({ "ok": true })))
            .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
            .missing()
            .writable(),
        on_file(route_table::Operation::SetFileAttributes, "Change permissions and time of a file", ATTRIBUTES)
            .json_body::<AttributesRequest>(
                Required::Yes,
                |body| AttributesRequest::parse(body).map(drop),
                &[
                    ("An executable file", json!({ "mode": "0755" })),
                    ("A time", json!({ "modifiedAt": "2026-01-31T12:00:00.000Z" })),
                ],
            )
            .refuses_besides(&["modifiedAt must be a time"])
            .answers(200, Answer::json::<Entry>("The file as it is then", entry()))
            .fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
            .fails(
                413,
                ErrorCode::PayloadTooLarge,
                "payload too large: the limit is 65536 bytes",
            )
            .missing()
            .writable(),
    ]
}

const DELETE: &str = "\
Removes a file, a symbolic link (never what it leads to), or with `recursive` a directory with everything in it. A mount point in it \
stays, and the response is 400. A response that takes long begins with spaces, which JSON ignores. An error after that has the status \
200, and the body of an error. The removal of a directory stops when its client leaves.";

const ATTRIBUTES: &str = "Links are followed. Fields that are absent stay as they are.";

/// An entry as an example.
pub fn entry() -> Value {
    json!({
        "name": "main.py",
        "path": "/workspace/main.py",
        "type": "file",
        "size": 1234,
        "mode": "0644",
        "modifiedAt": "2026-01-31T12:00:00.000Z",
        "uid": 1000,
        "gid": 1000,
    })
}

const READ: &str = "\
Returns the bytes of a file of any size, with `ETag` and `Last-Modified`. Bytes that are appended during the read are not sent. \
When the file shrinks during the read, the connection breaks off. Starts the sandbox, unless it sleeps and has a snapshot: then a file \
of at most 8 MiB is read from that, if the request has no range and no condition.";

const WRITE: &str = "\
Creates missing parent directories. Readers see the old file until the whole body has arrived; an upload that breaks off changes \
nothing. The new file keeps the mode of the file that it replaces. The body can be chunked and of any length.";

pub fn on_file(
    operation: route_table::Operation,
    summary: &'static str,
    description: &'static str,
) -> Operation {
    Operation::new(operation, TAG, summary)
        .text(description)
        .in_session("Has no effect: paths of files start at /workspace in every session.")
        .parameter(
            "path",
            "path",
            "The absolute path without its leading slash, percent-encoded: `workspace/a%20b/c.txt`. An encoded slash (`%2F`) \
             separates like any other.",
            json!({ "type": "string", "minLength": 1, "example": "workspace/main.py" }),
        )
        .fails(400, ErrorCode::InvalidRequest, "path must not contain NUL")
        .contained()
}

impl Operation {
    fn conditions(self) -> Self {
        self.parameter(
            "header",
            "If-None-Match",
            "Answers 304 if the file has one of these `ETag`s.",
            text(),
        )
        .parameter(
            "header",
            "If-Modified-Since",
            "Answers 304 if the file has not changed since this date.",
            text(),
        )
        .answers(304, Answer::empty("Client's copy is current"))
    }

    /// Its paths must stay within the roots.
    pub fn contained(self) -> Self {
        self.fails(
            403,
            ErrorCode::InvalidRequest,
            "path must resolve to a location within /workspace",
        )
    }

    /// Its file or directory must exist.
    pub fn missing(self) -> Self {
        self.fails(
            404,
            ErrorCode::FileNotFound,
            "no such file or directory: /workspace/main.py",
        )
    }

    /// The conditions of a change.
    fn preconditions(self) -> Self {
        self.parameter(
            "header",
            "If-Match",
            "Changes the file only if it has one of these `ETag`s, or with `*` if it exists.",
            text(),
        )
        .parameter(
            "header",
            "If-None-Match",
            "Changes the file only if it has none of these `ETag`s, or with `*` if it does not exist.",
            text(),
        )
        .fails(
            412,
            ErrorCode::PreconditionFailed,
            "/workspace/main.py has changed, or does not exist: the condition of the request does not hold",
        )
    }

    /// It changes files.
    pub fn writable(self) -> Self {
        self.fails(
            502,
            ErrorCode::WorkspaceArchiveWriteError,
            "write failed: Input/output error (os error 5)",
        )
        .fails(
            507,
            ErrorCode::NoSpace,
            "write failed: No space left on device (os error 28)",
        )
    }

    /// It reads files.
    pub fn reading(self) -> Self {
        self.fails(
            502,
            ErrorCode::ExecTransportError,
            "read failed: Input/output error (os error 5)",
        )
    }

    fn readable(self) -> Self {
        self.fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
            .fails(
                404,
                ErrorCode::WorkspaceReadNotFound,
                "File not found: /workspace/main.py",
            )
            .reading()
    }
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn file(description: &str) -> Answer {
    Answer::bytes(description)
        .header(Header::text(
            "ETag",
            "Strong entity tag. The tag of a file that has just changed is valid for this response only",
        ))
        .header(Header::text(
            "Last-Modified",
            "Time of the last change of the content",
        ))
        .header(Header::text("Accept-Ranges", "`bytes`"))
}
