//! Code.

use sandbox_protocol::code::{Context, ContextList, Execution, LanguageList};
use sandbox_protocol::{ContextId, ContextRequest, ErrorCode, RunCodeRequest, event, route_table};
use serde_json::{Value, json};

use crate::answer::{Answer, Header};
use crate::failure::LOST;
use crate::operation::{Operation, Required};
use crate::schema;

const TAG: &str = "Code";

const LOST_VARIABLES: &str = "the variables of the context analysis are lost: its kernel was ended by SIGKILL, because the memory was used up";

const NO_KERNEL: &str = "the sandbox has no Jupyter kernel for r; it has those for python, typescript";

const CREATE: &str = "\
Creates a context: a Jupyter kernel that keeps the variables of the code that runs in it. Every kernel that is installed in the image is \
a language. The kernel starts while the response is on its way.

The same request with the same `id` creates nothing: it gets the context that is there. Another request with that `id` is 409.";

const RUN: &str = "\
Runs code in a context, or without one in the default context of `language`, which the first run creates. Runs in one context queue; \
different contexts run at once. Code that ends with an exception is a success of this call: `success` is false, and `exception` has it.

A client that accepts `text/event-stream` gets events while the code runs: the output as those of `exec`, `result` with the schema \
`Bundle`, `exception` with the schema `Exception`, and then `exit`, with `exit_code` 0 or 1 and `execution_count`.

At `timeout_ms` the code is interrupted, and the variables stay. Code that goes on for 5 s is ended with its kernel: 410 `context_lost`. So \
is a kernel that crashes or uses up the memory. In a stream that is an `error` event.

A run is a process with the id in `Process-Id`, and its log can be followed. It is interrupted when its client disconnects, unless it \
has `detached` or `linger_ms`. A response that takes long begins with spaces, which JSON ignores. An error after that has the status \
200, and the body of an error.";

pub fn operations() -> Vec<Operation> {
    vec![
        run(),
        create(),
        Operation::new(route_table::Operation::ListContexts, TAG, "List contexts")
            .text("The contexts, the oldest first. A sandbox that is not running has none.")
            .answers(
                200,
                Answer::json::<ContextList>("The contexts", json!({ "contexts": [context()] })),
            ),
        Operation::new(route_table::Operation::DeleteContext, TAG, "Delete a context")
            .text("Ends the kernel, and the runs in it with `context_lost`.")
            .of_context()
            .answers(204, Answer::empty("The kernel has ended"))
            .fails(502, ErrorCode::ExecTransportError, LOST),
        Operation::new(route_table::Operation::InterruptContext, TAG, "Interrupt a context")
            .text("Interrupts the run that is under way. Its variables stay. Runs that wait begin then.")
            .of_context()
            .answers(204, Answer::empty("The run is being interrupted, if there was one"))
            .fails(410, ErrorCode::ContextLost, LOST_VARIABLES)
            .fails(502, ErrorCode::ExecTransportError, LOST),
        Operation::new(route_table::Operation::RestartContext, TAG, "Restart a context")
            .text(
                "Ends the kernel, and the runs in it with `context_lost`. Starts another one, without variables, and answers once it \
                 is ready.",
            )
            .of_context()
            .answers(200, Answer::json::<Context>("Context", context()))
            .fails(
                502,
                ErrorCode::ExecError,
                "exec failed: the kernel python3 ended before it was ready: No module named ipykernel",
            )
            .fails(502, ErrorCode::ExecTransportError, LOST),
        output(),
        Operation::new(route_table::Operation::ListLanguages, TAG, "List languages")
            .text("The kernels of the image. A sandbox that is not running has none.")
            .answers(
                200,
                Answer::json::<LanguageList>(
                    "The languages",
                    json!({ "languages": [{ "language": "python", "kernel": "python3", "version": "3.13.5" }] }),
                ),
            ),
    ]
}

fn create() -> Operation {
    Operation::new(route_table::Operation::CreateContext, TAG, "Create a context")
        .text(CREATE)
        .json_body::<ContextRequest>(
            Required::No,
            |body| ContextRequest::parse(body).map(drop),
            &[
                ("Python", json!({})),
                (
                    "TypeScript in a directory",
                    json!({ "language": "typescript", "cwd": ".", "env": { "MODE": "test" }, "id": "analysis" }),
                ),
            ],
        )
        .answers(200, Answer::json::<Context>("Context", context()))
        .fails(400, ErrorCode::InvalidRequest, "cwd is not a directory: /workspace/app")
        .fails(
            403,
            ErrorCode::InvalidRequest,
            "cwd must resolve to a location within /workspace",
        )
        .fails(
            409,
            ErrorCode::ContextExists,
            "there is a context analysis from another request",
        )
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 1048576 bytes",
        )
        .fails(501, ErrorCode::NotSupported, NO_KERNEL)
        .fails(502, ErrorCode::ExecTransportError, LOST)
}

fn run() -> Operation {
    let example = json!({
        "success": true,
        "output": "hello\n2\n",
        "logs": { "stdout": ["hello\n"], "stderr": [] },
        "results": [{ "isMain": true, "executionCount": 1, "text/plain": "2", "text": "2" }],
        "executionCount": 1,
        "durationMs": 4,
        "contextId": "default-python",
        "processId": "8f0c2a4e-5d0b-4a53-9a5c-6f1d2f9b7c10.7",
    });
    let events = "id: 1\nevent: stdout\ndata: aGVsbG8K\n\n\
                  id: 2\nevent: result\ndata: {\"isMain\":true,\"executionCount\":1,\"text/plain\":\"2\",\"text\":\"2\"}\n\n\
                  id: 3\nevent: exit\ndata: {\"exit_code\":0,\"execution_count\":1}\n\n";
    Operation::new(route_table::Operation::RunCode, TAG, "Run code")
        .text(RUN)
        .json_body::<RunCodeRequest>(
            Required::Yes,
            |body| RunCodeRequest::parse(body).map(drop),
            &[
                ("Python", json!({ "code": "print('hello')\n1 + 1" })),
                (
                    "In a context",
                    json!({ "code": "x", "context": "analysis", "timeout_ms": 5000 }),
                ),
                (
                    "TypeScript",
                    json!({ "code": "const n: number = await Promise.resolve(2); n", "language": "typescript" }),
                ),
            ],
        )
        .answers(
            200,
            Answer::json::<Execution>("The code has ended", example)
                .header(Header::text("Process-Id", "The id of the run as a process."))
                .or(Answer::text(event::CONTENT_TYPE, "").example(events.into()))
                .codes(&[
                    ErrorCode::ExecError,
                    ErrorCode::ContextLost,
                    ErrorCode::ExecTransportError,
                    ErrorCode::SandboxExpired,
                ]),
        )
        .fails(400, ErrorCode::InvalidRequest, "code must be a string")
        .fails(
            403,
            ErrorCode::InvalidRequest,
            "cwd must resolve to a location within /workspace",
        )
        .fails(404, ErrorCode::ContextNotFound, "there is no context analysis")
        .fails(404, ErrorCode::ProcessNotFound, "there is no process run-1")
        .fails(
            409,
            ErrorCode::ContextExists,
            "there is a context default-python from another request",
        )
        .fails(
            409,
            ErrorCode::ProcessExists,
            "there is a process run-1 from another request",
        )
        .fails(410, ErrorCode::ContextLost, LOST_VARIABLES)
        .fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 4194304 bytes",
        )
        .fails(501, ErrorCode::NotSupported, NO_KERNEL)
        .fails(
            502,
            ErrorCode::ExecError,
            "exec failed: the kernel python3 ended before it was ready: No module named ipykernel",
        )
        .fails(502, ErrorCode::ExecTransportError, LOST)
}

fn output() -> Operation {
    Operation::new(route_table::Operation::GetContextOutput, TAG, "Get an image of a result")
        .text(
            "An image over 64 KiB of a result, whose path is in `urls` there. A context keeps its last 16 MiB of images.",
        )
        .of_context()
        .parameter(
            "path",
            "n",
            "The number of the image.",
            json!({ "type": "integer", "minimum": 1 }),
        )
        .parameter(
            "path",
            "mime",
            "Its media type; the slash in it may stand unescaped.",
            json!({ "type": "string", "pattern": "^image/" }),
        )
        .answers(200, Answer::new("image/*", json!({ "type": "string", "format": "binary" }), "The image"))
        .fails(
            404,
            ErrorCode::FileNotFound,
            "no such file or directory: the image 3 of the context analysis",
        )
}

fn context() -> Value {
    json!({
        "id": "analysis",
        "language": "python",
        "cwd": "/workspace",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "lastUsedAt": "2026-01-01T00:00:00.000Z",
        "executionCount": 0,
    })
}

impl Operation {
    /// The operation is on the context of its path.
    fn of_context(self) -> Self {
        self.parameter(
            "path",
            "cid",
            "The id of the context.",
            schema::of_request::<ContextId>(),
        )
        .fails(400, ErrorCode::InvalidRequest, "Invalid context ID format")
        .fails(404, ErrorCode::ContextNotFound, "there is no context analysis")
    }
}
