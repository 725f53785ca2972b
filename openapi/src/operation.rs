//! The description of an operation.

use std::collections::BTreeMap;

use sandbox_protocol::route_table::{self, Access, Method, Needs};
use sandbox_protocol::{ErrorCode, Invalid};
use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::answer::{self, Answer, Content, Header};
use crate::failure::{ASKING, BAD_ID, Failure, GUARDED, OF_SANDBOX, STARTING, UPLOADING};
use crate::schema;

/// The methods of an operation that takes every one, besides `get`, and the ends of their ids.
const ANY: [(&str, &str); 6] = [
    ("head", "Head"),
    ("put", "Put"),
    ("post", "Post"),
    ("patch", "Patch"),
    ("delete", "Delete"),
    ("options", "Options"),
];

/// Checks a body. Error: the body is refused.
pub type Parse = fn(&[u8]) -> Result<(), Invalid>;

/// The body of a request.
#[derive(Debug, Clone)]
pub struct Body {
    /// Whether the request must have one.
    pub required: bool,
    /// Its media type, schema and examples.
    pub content: Content,
    /// The parser of a JSON body.
    pub parse: Option<Parse>,
    /// Beginnings of the parser's errors that a schema cannot express.
    pub besides: &'static [&'static str],
}

/// Everything that the document has of an operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The name in the document and in clients generated from it.
    pub id: &'static str,
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for parameters.
    pub path: &'static str,
    /// Its group in the explorer.
    pub tag: &'static str,
    /// Its effect, in a few words.
    pub summary: &'static str,
    /// Details, in Markdown.
    pub description: &'static str,
    /// Whether the caller must send a key or a token.
    pub guarded: bool,
    /// Who may call it.
    pub access: Access,
    /// The security scheme of the key in the query, for browsers, which have no other way.
    pub for_browsers: Option<&'static str>,
    /// The parameters, as they are in the document.
    pub parameters: Vec<Value>,
    /// The body, if it takes one.
    pub body: Option<Body>,
    /// The successful responses, by status.
    pub answers: BTreeMap<u16, Answer>,
    /// The errors.
    pub failures: Vec<Failure>,
    /// Headers of every response.
    pub headers: Vec<Header>,
}

impl Operation {
    /// The operation of the table of routes, with the access, the errors and the headers that
    /// follow from there.
    pub fn new(operation: route_table::Operation, tag: &'static str, summary: &'static str) -> Self {
        let route = operation.route();
        let guarded = route.access.is_guarded();
        let new = Self {
            id: route.operation_id,
            method: route.method,
            path: route.pattern,
            tag,
            summary,
            description: "",
            guarded,
            access: route.access,
            for_browsers: None,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            failures: if guarded { GUARDED.to_vec() } else { Vec::new() },
            headers: Vec::new(),
        };
        let new = match route.access {
            Access::Key => new.fails(403, ErrorCode::Forbidden, "a key is needed, not a token"),
            access if access.is_guarded() => {
                new.fails(403, ErrorCode::Forbidden, "the token lacks the scope exec")
            }
            _ => new,
        };
        match route.needs {
            Needs::Nothing => new,
            Needs::Object => new.of_sandbox(),
            Needs::Running => new.of_sandbox().asking(),
            Needs::Started => new.of_sandbox().starting(),
            Needs::Others => new.of_path().fails(400, ErrorCode::InvalidRequest, BAD_ID),
        }
    }

    /// Its methods, as they are in the document, and the id of each: an operation that takes every
    /// method is written once for each.
    pub fn methods(&self) -> Vec<(String, String)> {
        let id = self.id.to_owned();
        if self.method != Method::Any {
            return vec![(self.method.as_str().to_lowercase(), id)];
        }
        let others = ANY
            .iter()
            .map(|(method, name)| ((*method).to_owned(), format!("{id}{name}")));
        [("get".to_owned(), id.clone())]
            .into_iter()
            .chain(others)
            .collect()
    }

    /// The key may also be in the query.
    pub fn for_browsers(mut self, scheme: &'static str) -> Self {
        self.for_browsers = Some(scheme);
        self
    }

    /// Details, in Markdown.
    pub fn text(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// The operation belongs to the sandbox of its path and does not call it.
    fn of_sandbox(mut self) -> Self {
        self.failures.extend_from_slice(OF_SANDBOX);
        self.of_path()
    }

    /// The path names a sandbox.
    fn of_path(self) -> Self {
        self.parameter(
            "path",
            "id",
            "The id of the sandbox: one that `POST /v1/sandbox` returned, or any other of this form.",
            schema::of_request::<sandbox_protocol::SandboxId>(),
        )
    }

    /// The operation starts the sandbox if necessary.
    fn starting(mut self) -> Self {
        self.failures.extend_from_slice(STARTING);
        self.headers.push(Header::text(
            "Sandbox-Restored",
            "The id of the snapshot that a start restored, if the response waited for one.",
        ));
        self.headers.push(Header::text(
            "Sandbox-Restored-Kind",
            "What was restored: `archive`, the directory, or `container`, the whole file system. Beside \
             `Sandbox-Restored`.",
        ));
        self.asking()
    }

    /// The operation reads the last snapshot of a sandbox that does not run.
    pub fn asleep(mut self) -> Self {
        self.headers.push(Header::text(
            "Sandbox-Asleep",
            "`true` if the sandbox does not run, and the response has what its last snapshot has.",
        ));
        self.fails(
            502,
            ErrorCode::SnapshotError,
            "the store of snapshots failed: SlowDown (503)",
        )
    }

    /// The operation calls the sandbox if it is running.
    fn asking(mut self) -> Self {
        self.failures.extend_from_slice(ASKING);
        self.headers.push(Header::text(
            "Sandbox-Boot-Id",
            "The id of the sandbox's boot. When it changes, the sandbox was replaced and its files are gone.",
        ));
        self
    }

    /// Adds a parameter: in the path (required), in the query or in the headers (optional).
    pub fn parameter(mut self, location: &str, name: &str, description: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": location,
            "required": location == "path",
            "description": description,
            "schema": schema,
        }));
        self
    }

    /// Adds a JSON body with its parser and named examples.
    pub fn json_body<T: JsonSchema>(
        mut self,
        required: Required,
        parse: Parse,
        examples: &[(&str, Value)],
    ) -> Self {
        let examples = examples.iter();
        self.body = Some(Body {
            required: required == Required::Yes,
            content: Content {
                media_type: "application/json",
                schema: schema::of_request::<T>(),
                examples: examples
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect(),
            },
            parse: Some(parse),
            besides: &[],
        });
        self
    }

    /// Adds beginnings of errors of its JSON body that a schema cannot express.
    pub fn refuses_besides(mut self, besides: &'static [&'static str]) -> Self {
        if let Some(body) = &mut self.body {
            body.besides = besides;
        }
        self
    }

    /// Adds a body of bytes.
    pub fn bytes_body(mut self) -> Self {
        self.failures.extend_from_slice(UPLOADING);
        self.body = Some(Body {
            required: true,
            content: Content {
                media_type: "application/octet-stream",
                schema: answer::bytes(),
                examples: Vec::new(),
            },
            parse: None,
            besides: &[],
        });
        self
    }

    /// Adds a response.
    pub fn answers(mut self, status: u16, answer: Answer) -> Self {
        self.answers.insert(status, answer);
        self
    }

    /// Adds an error.
    pub fn fails(mut self, status: u16, code: ErrorCode, text: &'static str) -> Self {
        self.failures.push(Failure { status, code, text });
        self
    }
}

/// Whether a request must have a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// It must.
    Yes,
    /// It need not.
    No,
}
