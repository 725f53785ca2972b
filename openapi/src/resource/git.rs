//! Git.

use sandbox_protocol::git::{Checkout, CheckoutRequest};
use sandbox_protocol::{ErrorCode, event, route_table};
use serde_json::json;

use crate::answer::{Answer, Header};
use crate::failure::LOST;
use crate::operation::{Operation, Required};

const TAG: &str = "Git";

const TEXT: &str = "\
Fetches a repository with the git of the image and checks it out. An existing checkout of the same repository is fetched and switched; \
another directory with files is 409. A checkout that fails leaves no new directory.

`auth` is for one request. git asks for it over a socket that no other command has: it is in no command line, no variable, no file and \
no log of the sandbox. It goes only to the host of `repoUrl`.

A client that accepts `text/event-stream` gets the progress of git: the events of `exec` on `stderr`, and a `result` event before `exit`, \
with this answer or the schema `CheckoutFailure`.

A response that takes long begins with spaces, which JSON ignores. An error after that has the status 200, and the body of an error. The \
checkout is a process with the id in `Process-Id`. It ends when its client disconnects.";

pub fn operations() -> Vec<Operation> {
    vec![checkout()]
}

fn checkout() -> Operation {
    let example = json!({
        "success": true,
        "repoUrl": "https://github.com/octocat/Hello-World.git",
        "branch": "master",
        "commit": "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d",
        "targetDir": "/workspace/Hello-World",
    });
    let events = "id: 1\nevent: stderr\ndata: Q2xvbmluZyBpbnRvICcuJy4uLgo=\n\n\
                  id: 2\nevent: result\ndata: {\"success\":true,\"repoUrl\":\"https://github.com/octocat/Hello-World.git\",\
                  \"branch\":\"master\",\"commit\":\"7fd1a60b01f91b314f59955a4e4d4e80d8edf11d\",\
                  \"targetDir\":\"/workspace/Hello-World\"}\n\n\
                  id: 3\nevent: exit\ndata: {\"exit_code\":0}\n\n";
    Operation::new(
        route_table::Operation::GitCheckout,
        TAG,
        "Check out a git repository",
    )
    .text(TEXT)
    .json_body::<CheckoutRequest>(
        Required::Yes,
        |body| CheckoutRequest::parse(body).map(drop),
        &[
            (
                "A public repository",
                json!({ "repoUrl": "https://github.com/octocat/Hello-World.git", "depth": 1 }),
            ),
            (
                "A private one",
                json!({
                    "repoUrl": "https://github.com/me/private.git",
                    "ref": "v1.0",
                    "targetDir": "app",
                    "auth": { "token": "ghp_…" },
                    "timeout_ms": 120_000,
                }),
            ),
        ],
    )
    .refuses_besides(&[
        "repoUrl is not a URL",
        "ref is not a name",
        "branch is not a name",
        "ref and branch cannot",
        "auth is for",
        "auth is set",
    ])
    .answers(
        200,
        Answer::json::<Checkout>("The repository is checked out", example)
            .header(Header::text("Process-Id", "The id of the process that runs git."))
            .or(Answer::text(event::CONTENT_TYPE, "").example(events.into()))
            .codes(&[
                ErrorCode::ExecError,
                ErrorCode::ExecTransportError,
                ErrorCode::SandboxExpired,
            ]),
    )
    .fails(
        400,
        ErrorCode::InvalidRequest,
        "ref and branch cannot both be set",
    )
    .fails(
        403,
        ErrorCode::InvalidRequest,
        "targetDir must resolve to a location within /workspace",
    )
    .fails(
        409,
        ErrorCode::GitTargetExists,
        "/workspace/app exists: it has files",
    )
    .fails(
        413,
        ErrorCode::PayloadTooLarge,
        "payload too large: the limit is 65536 bytes",
    )
    .fails(
        501,
        ErrorCode::NotSupported,
        "the image has no git: install it there",
    )
    .fails(
        502,
        ErrorCode::GitAuthFailed,
        "git clone: fatal: Authentication failed for 'https://github.com/me/private.git/'",
    )
    .fails(
        502,
        ErrorCode::GitRepositoryNotFound,
        "git clone: fatal: repository 'https://github.com/me/private.git/' not found",
    )
    .fails(
        502,
        ErrorCode::GitRefNotFound,
        "git clone: fatal: Remote branch v1.0 not found in upstream origin",
    )
    .fails(
        502,
        ErrorCode::GitNetworkError,
        "the repository was not fetched within 120000 ms",
    )
    .fails(
        502,
        ErrorCode::GitError,
        "git checkout: error: Your local changes to the following files would be overwritten by checkout",
    )
    .fails(502, ErrorCode::ExecError, "exec failed: too many open files")
    .fails(502, ErrorCode::ExecTransportError, LOST)
}
