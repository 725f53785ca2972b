//! What is said of an operation.

use std::collections::BTreeMap;

use sandbox_protocol::{ErrorCode, Invalid};
use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::answer::{self, Answer, Content, Header};
use crate::failure::{Failure, GUARDED, OF_SANDBOX, STARTING, UPLOADING};
use crate::schema;

/// The method of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names of HTTP")]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
}

impl Method {
    /// The method as it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// What checks a body: an error when it is refused.
pub type Parse = fn(&[u8]) -> Result<(), Invalid>;

/// The body of a request.
#[derive(Debug, Clone)]
pub struct Body {
    /// Whether the request must have one.
    pub required: bool,
    /// What it looks like.
    pub content: Content,
    /// What parses it, if it is JSON.
    pub parse: Option<Parse>,
    /// How the parser's refusals begin that no schema can say.
    pub besides: &'static [&'static str],
}

/// Everything that the document says of an operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The name in the document and in clients made from it.
    pub id: &'static str,
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for what a client fills in.
    pub path: &'static str,
    /// The group it is shown in.
    pub tag: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// The rest that is worth knowing, in Markdown.
    pub description: &'static str,
    /// Whether the caller must show the key.
    pub guarded: bool,
    /// The security scheme by which the key may come in the query as well, as browsers have no other way.
    pub for_browsers: Option<&'static str>,
    /// The parameters, as they stand in the document.
    pub parameters: Vec<Value>,
    /// The body, if it takes one.
    pub body: Option<Body>,
    /// The answers that are no errors, by status.
    pub answers: BTreeMap<u16, Answer>,
    /// The errors.
    pub failures: Vec<Failure>,
    /// Headers of every response.
    pub headers: Vec<Header>,
}

impl Operation {
    /// An operation that takes the key.
    pub fn new(
        id: &'static str,
        method: Method,
        path: &'static str,
        tag: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            id,
            method,
            path,
            tag,
            summary,
            description: "",
            guarded: true,
            for_browsers: None,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            failures: GUARDED.to_vec(),
            headers: Vec::new(),
        }
    }

    /// It is open to everybody.
    pub fn open(mut self) -> Self {
        self.guarded = false;
        self.failures.clear();
        self
    }

    /// The key may come in the query as well.
    pub fn for_browsers(mut self, scheme: &'static str) -> Self {
        self.for_browsers = Some(scheme);
        self
    }

    /// The rest that is worth knowing, in Markdown.
    pub fn text(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// It works on the sandbox of its path, without starting it.
    pub fn of_sandbox(mut self) -> Self {
        self.failures.extend_from_slice(OF_SANDBOX);
        self.parameter(
            "path",
            "id",
            "The sandbox: an id that `POST /v1/sandbox` gave, or any other of this form.",
            schema::of_request::<sandbox_protocol::SandboxId>(),
        )
    }

    /// It works in the sandbox of its path, and starts it if need be.
    pub fn in_sandbox(self) -> Self {
        self.of_sandbox().starting()
    }

    /// It starts the sandbox if need be.
    pub fn starting(mut self) -> Self {
        self.failures.extend_from_slice(STARTING);
        self.headers.push(Header::text("Sandbox-Boot-Id", "The boot of the sandbox that answers. When it changes, the sandbox was replaced and its files are gone."));
        self
    }

    /// A parameter of its path (which is required), its query or its headers (which is not).
    pub fn parameter(mut self, place: &str, name: &str, description: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": place,
            "required": place == "path",
            "description": description,
            "schema": schema,
        }));
        self
    }

    /// A JSON body of the type that `parse` gives, with bodies that it takes, each by a name.
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

    /// Refusals of its JSON body that no schema can say: how each begins.
    pub fn refuses_besides(mut self, besides: &'static [&'static str]) -> Self {
        if let Some(body) = &mut self.body {
            body.besides = besides;
        }
        self
    }

    /// A body of bytes.
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

    /// What it answers with `status`.
    pub fn answers(mut self, status: u16, answer: Answer) -> Self {
        self.answers.insert(status, answer);
        self
    }

    /// An error of its own.
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
