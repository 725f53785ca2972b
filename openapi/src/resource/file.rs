//! Files.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::answer::Written;
use sandbox_protocol::route;
use serde_json::{Value, json};

use crate::answer::{Answer, Header};
use crate::operation::Operation;

const TAG: &str = "Files";

pub fn operations() -> Vec<Operation> {
    vec![
        on_file(route::Operation::ReadFile,"Read a file", READ)
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
            route::Operation::HeadFile,"Get the headers of a file",
            "Returns the headers of `readFile` without the bytes.",
        )
        .conditions()
        .answers(200, file("Headers of the file").without_body())
        .readable(),
        on_file(route::Operation::WriteFile,"Write a file", WRITE)
            .parameter(
                "query",
                "in_place",
                "Writes into the existing file instead of replacing it, so that watchers and programs that have the file \
                 open see the new bytes. The write is not atomic: readers can see a part of the file, and an upload \
                 that breaks off leaves a part.",
                json!({ "type": "boolean", "default": false }),
            )
            .bytes_body()
            .answers(
                200,
                Answer::json::<Written>("File was written", json!({ "ok": true })),
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

const READ: &str = "\
Returns the bytes of a file of any size, with `ETag` and `Last-Modified`. Bytes that are appended during the read are not sent. \
When the file shrinks during the read, the connection breaks off.";

const WRITE: &str = "\
Creates missing parent directories. Readers see the old file until the whole body has arrived; an upload that breaks off changes \
nothing. The new file keeps the mode of the file that it replaces. The body can be chunked and of any length.";

fn on_file(operation: route::Operation, summary: &'static str, description: &'static str) -> Operation {
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
        .fails(403, ErrorCode::InvalidRequest, "path must resolve to a location within /workspace")
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

    fn readable(self) -> Self {
        self.fails(400, ErrorCode::IsDirectory, "/workspace/src is a directory")
            .fails(
                404,
                ErrorCode::WorkspaceReadNotFound,
                "File not found: /workspace/main.py",
            )
            .fails(
                502,
                ErrorCode::ExecTransportError,
                "read failed: Input/output error (os error 5)",
            )
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
