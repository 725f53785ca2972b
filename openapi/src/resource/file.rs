//! Files.

use sandbox_protocol::ErrorCode;
use sandbox_protocol::answer::Written;
use serde_json::{Value, json};

use crate::answer::{Answer, Header};
use crate::operation::{Method, Operation};

const TAG: &str = "Files";
const PATH: &str = "/v1/sandbox/{id}/file/{path}";

pub fn operations() -> Vec<Operation> {
    vec![
        on_file("readFile", Method::Get, "Read a file", READ)
            .conditions()
            .parameter(
                "header",
                "Range",
                "Which bytes: `bytes=0-99`, `bytes=100-`, `bytes=-100`. One range.",
                text(),
            )
            .parameter(
                "header",
                "If-Range",
                "The range counts only if this `ETag` or date still holds.",
                text(),
            )
            .answers(200, file("The whole file"))
            .answers(
                206,
                file("The bytes that `Range` asks for")
                    .header(Header::text("Content-Range", "Which of how many")),
            )
            .readable()
            .fails(
                416,
                ErrorCode::RangeNotSatisfiable,
                "range not satisfiable: the file has 5 bytes",
            ),
        on_file(
            "headFile",
            Method::Head,
            "Look at a file",
            "The headers of a read, without the bytes.",
        )
        .conditions()
        .answers(200, file("The file\'s headers").without_body())
        .readable(),
        on_file("writeFile", Method::Put, "Write a file", WRITE)
            .bytes_body()
            .answers(
                200,
                Answer::json::<Written>("The body is the file", json!({ "ok": true })),
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
The bytes come as they are, of any size, with `ETag` and `Last-Modified`. What is appended meanwhile is left out; a file that \
shrinks breaks the connection off.";

const WRITE: &str = "\
Makes the parents. Until the whole body has come, readers see the old file; an upload that breaks off changes nothing. A file \
that is replaced keeps its mode. A body may be chunked, of any length.";

fn on_file(id: &'static str, method: Method, summary: &'static str, description: &'static str) -> Operation {
    Operation::new(id, method, PATH, TAG, summary)
        .text(description)
        .in_sandbox()
        .in_session("Has no meaning for files: their path is from /workspace in any session.")
        .parameter(
            "path",
            "path",
            "Absolute, without the leading slash, each part percent-encoded: `workspace/a%20b/c.txt`. Slashes between parts \
             stay as they are; an encoded one is refused.",
            json!({ "type": "string", "minLength": 1, "example": "workspace/main.py" }),
        )
        .fails(400, ErrorCode::InvalidRequest, "path must not contain an encoded slash (%2F)")
        .fails(403, ErrorCode::InvalidRequest, "path must resolve to a location within /workspace")
}

impl Operation {
    fn conditions(self) -> Self {
        self.parameter(
            "header",
            "If-None-Match",
            "304 if the file has one of these `ETag`s.",
            text(),
        )
        .parameter(
            "header",
            "If-Modified-Since",
            "304 if the file was not changed since.",
            text(),
        )
        .answers(304, Answer::empty("The file is the one that the client has"))
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
            "Strong, unless the file was changed just now",
        ))
        .header(Header::text("Last-Modified", "When it was written"))
        .header(Header::text("Accept-Ranges", "`bytes`"))
}
