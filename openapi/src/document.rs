//! The OpenAPI document, made from the operations.

use std::collections::BTreeMap;

use sandbox_protocol::ErrorBody;
use sandbox_protocol::code::Exception;
use sandbox_protocol::event::{Exit, Gap};
use sandbox_protocol::git::CheckoutFailure;
use sandbox_protocol::route_table::Method;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Header};
use crate::api_examples::{Example, examples};
use crate::failure::{Failure, GUARDED};
use crate::operation::Operation;
use crate::{answer, operations, schema};

/// The version of the API, not of this program: 1 as long as clients of 1.0 work unchanged.
const VERSION: &str = "1.4.0";

const ABOUT: &str = "\
Linux sandboxes over HTTP: run commands, read and write files, throw the sandbox away.

Every request under `/v1` carries a key or a token as `Authorization: Bearer …`. Errors are `{\"error\": text, \"code\": code}`. \
Temporary errors (429, 503) have `Retry-After`. An unknown path is 404 `not_found`; a method that a path does not have is 405 \
`method_not_allowed` with `Allow`.

The address of an exposed port (`PUT /v1/sandbox/{id}/port/{port}`) is outside this document: every path of it is the server's. A wrong \
one is 404 `invalid_token`.

Any id of 1 to 128 characters of `a-z2-7` names a sandbox. The sandbox starts with the first operation that needs it.";

const TAGS: [(&str, &str); 17] = [
    ("Sandboxes", "Create, inspect and destroy sandboxes."),
    ("Commands", "Run commands and follow their output."),
    (
        "Processes",
        "Commands that outlive their client: output, input, signals, waits.",
    ),
    ("Code", "Run code in Jupyter kernels, which keep its variables."),
    ("Sessions", "Shell state that outlives a command."),
    ("Terminals", "Interactive programs and shells, over a WebSocket."),
    ("Files", "Read and write files of the workspace."),
    ("Workspace", "All files of the workspace as one archive."),
    ("Snapshots", "Directories that are saved, restored and forked."),
    ("Git", "Repositories in the workspace."),
    ("Mounts", "Buckets as directories."),
    ("Ports", "Servers of a sandbox: HTTP, WebSockets, TCP."),
    ("Tunnels", "Ports of a sandbox under a public address."),
    ("Agents", "Tools for models, by the Model Context Protocol."),
    ("Tokens", "Credentials for a part of what a key permits."),
    (
        "Warm pool",
        "Sandboxes that are started before clients ask for them.",
    ),
    ("Service", "The bridge itself."),
];

/// The OpenAPI 3.1 document.
pub fn document() -> Value {
    let examples: BTreeMap<String, Example> = examples()
        .into_iter()
        .map(|example| (example.operation.clone(), example))
        .collect();
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            for (method, id) in operation.methods() {
                methods.insert(method, write(&operation, &id, examples.get(operation.id)));
            }
        }
    }
    // Only events of a stream and shared responses refer to these.
    schema::of_answer::<Exit>();
    schema::of_answer::<Gap>();
    schema::of_answer::<CheckoutFailure>();
    schema::of_answer::<Exception>();
    let unauthorized: Vec<&Failure> = GUARDED.iter().filter(|failure| failure.status == 401).collect();
    let tag = |(name, description)| json!({ "name": name, "description": description });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sandbar",
            "version": VERSION,
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The bridge that serves this document" }],
        "security": [{ "BearerAuth": [] }],
        "tags": TAGS.map(tag),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "BearerAuth": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of the deployment (`SANDBOX_API_KEY`), or a token of `POST /v1/token`.",
                },
                "AuthorizationQuery": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "authorization",
                    "description": "`Bearer ` and the same key or token, for browsers that open a WebSocket.",
                },
                "TokenQuery": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "token",
                    "description": "The same key or token, for browsers that open this document.",
                },
            },
            "responses": {
                "Unauthorized": failed(401, &unauthorized).write(),
            },
            "schemas": schema::components(),
        },
    })
}

/// The operation at one of its methods, under the id of that.
fn write(operation: &Operation, id: &str, example: Option<&Example>) -> Value {
    let mut written = json!({
        "operationId": id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses(operation),
    });
    let Some(fields) = written.as_object_mut() else {
        return written;
    };
    let description = match operation.access.scope() {
        Some(scope) => format!("{}\n\nScope of tokens: `{scope}`.", operation.description),
        None => operation.description.to_owned(),
    };
    if !description.is_empty() {
        fields.insert("description".into(), description.trim_start().into());
    }
    if !operation.parameters.is_empty() {
        fields.insert("parameters".into(), operation.parameters.clone().into());
    }
    if let Some(body) = &operation.body {
        let written = json!({ "required": body.required, "content": answer::write_contents(std::slice::from_ref(&body.content)) });
        fields.insert("requestBody".into(), written);
    }
    if let Some(scheme) = operation.for_browsers {
        fields.insert("security".into(), json!([{ "BearerAuth": [] }, { scheme: [] }]));
    }
    if !operation.guarded {
        fields.insert("security".into(), json!([]));
    }
    if let Some(example) = example {
        let sample = json!({ "lang": "curl", "label": "curl", "source": example.script.trim_end() });
        fields.insert("x-codeSamples".into(), json!([sample]));
    }
    written
}

fn responses(operation: &Operation) -> Value {
    let mut answers = operation.answers.clone();
    let mut failures: BTreeMap<u16, Vec<&Failure>> = BTreeMap::new();
    for failure in &operation.failures {
        failures.entry(failure.status).or_default().push(failure);
    }
    for (status, failures) in failures {
        let failed = failed(status, &failures);
        match answers.get_mut(&status) {
            // The operation describes this status itself: its body has the same codes.
            Some(answer) => answer.codes = failed.codes,
            None => drop(answers.insert(status, failed)),
        }
    }
    let write = |(status, mut answer): (u16, Answer)| {
        answer.headers.extend_from_slice(&operation.headers);
        if operation.method == Method::Head {
            answer.contents.clear();
        }
        let written = match status {
            401 => json!({ "$ref": "#/components/responses/Unauthorized" }),
            _ => answer.write(),
        };
        (status.to_string(), written)
    };
    Value::Object(answers.into_iter().map(write).collect())
}

/// The answer of an error status: the codes that it can have, and an example of each text.
fn failed(status: u16, failures: &[&Failure]) -> Answer {
    let mut codes: Vec<String> = Vec::new();
    let mut examples: Vec<(String, Value)> = Vec::new();
    for failure in failures {
        let code = failure.code_name();
        let earlier = failures.iter().take_while(|other| *other != failure);
        let name = match earlier.filter(|other| other.code == failure.code).count() {
            0 => code.clone(),
            n => format!("{code}-{}", n + 1),
        };
        let body = json!({ "error": failure.text, "code": failure.code });
        examples.push((name, body));
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    let named: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let answer = Answer::new(
        "application/json",
        schema::of_answer::<ErrorBody>(),
        named.join(" or "),
    );
    let mut answer = match status {
        401 => answer.header(Header::text("WWW-Authenticate", "`Bearer`")),
        429 | 503 => answer.header(RETRY_AFTER),
        _ => answer,
    };
    answer.codes = codes;
    if let Some(content) = answer.contents.first_mut() {
        content.examples = examples;
    }
    answer
}

const RETRY_AFTER: Header = Header {
    name: "Retry-After",
    description: "Seconds to wait before the next try. Absent with `not_configured`.",
    kind: "integer",
};
