//! The request that runs a command.

mod check;

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::json::{self, field};
#[cfg(feature = "schema")]
use crate::schema;
use crate::{Invalid, WorkspacePath};

/// The largest exec body, in bytes: its `stdin` travels inside it. Larger input belongs in a file.
pub const MAX_BODY: usize = 32 * 1024 * 1024;

/// The body of `POST …/exec`. Unknown fields are ignored. A field that is `null` counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecRequest {
    /// The program and its arguments: at least one string, none with a NUL.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::Text>", length(min = 1)))]
    pub argv: Vec<String>,
    /// The timeout in milliseconds, from the request on, including the wait for earlier commands of
    /// its session. Then the command's whole process tree is ended, with exit code 124.
    #[cfg_attr(feature = "schema", schemars(range(max = u64::MAX)))]
    pub timeout_ms: Option<NonZeroU64>,
    /// The working directory: a path within /workspace, or relative to it. Absent: the working
    /// directory of the session, or /workspace.
    pub cwd: Option<WorkspacePath>,
    /// Variables set on top of the sandbox's own.
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Variables>"))]
    pub env: BTreeMap<String, String>,
    /// The standard input: text, or bytes as base64. Absent or empty: `/dev/null`, not a pipe,
    /// because some programs would read a pipe instead of their arguments.
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Bytes>"))]
    pub stdin: Option<Vec<u8>>,
    /// Whether the command continues when its client disconnects. Default: false, the command is
    /// ended.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub detached: bool,
}

impl ExecRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a `cwd` outside the workspace: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        Ok(Self {
            argv: argv(&fields)?,
            timeout_ms: field(&fields, "timeout_ms").map(timeout_ms).transpose()?,
            cwd: field(&fields, "cwd").map(cwd).transpose()?,
            env: field(&fields, "env").map(env).transpose()?.unwrap_or_default(),
            stdin: field(&fields, "stdin")
                .map(stdin)
                .transpose()?
                .filter(|bytes| !bytes.is_empty()),
            detached: field(&fields, "detached")
                .map(detached)
                .transpose()?
                .unwrap_or_default(),
        })
    }

    /// Checks a JSON body as [`Self::parse`] does, in little memory: most of a large body is left
    /// to `sandboxd`.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::parse`].
    pub fn check(body: &[u8]) -> Result<(), Invalid> {
        check::check(body)
    }
}

fn argv(fields: &Map<String, Value>) -> Result<Vec<String>, Invalid> {
    let Some(Value::Array(items)) = fields
        .get("argv")
        .filter(|v| v.as_array().is_some_and(|a| !a.is_empty()))
    else {
        return Err(Invalid::request("argv must be a non-empty array of strings"));
    };
    let text = |(i, item): (usize, &Value)| match item {
        Value::String(arg) if arg.contains('\0') => {
            Err(Invalid::request(format!("argv[{i}] must not contain NUL")))
        }
        Value::String(arg) => Ok(arg.clone()),
        _ => Err(Invalid::request(format!("argv[{i}] must be a string"))),
    };
    items.iter().enumerate().map(text).collect()
}

fn timeout_ms(value: &Value) -> Result<NonZeroU64, Invalid> {
    // Some JSON writers write the integer 1000 as 1000.0.
    let whole = |f: f64| (f.fract() == 0.0 && f >= 1.0 && f < u64::MAX as f64).then_some(f as u64);
    value
        .as_u64()
        .or_else(|| value.as_f64().and_then(whole))
        .and_then(NonZeroU64::new)
        .ok_or_else(|| Invalid::request("timeout_ms must be a positive integer"))
}

fn cwd(value: &Value) -> Result<WorkspacePath, Invalid> {
    let text = value
        .as_str()
        .ok_or_else(|| Invalid::request("cwd must be a string"))?;
    WorkspacePath::parse("cwd", text)
}

pub(crate) fn env(value: &Value) -> Result<BTreeMap<String, String>, Invalid> {
    let fields = value
        .as_object()
        .ok_or_else(|| Invalid::request("env must be an object of strings"))?;
    let variable = |(name, value): (&String, &Value)| {
        let value = value
            .as_str()
            .ok_or_else(|| Invalid::request(format!("env.{name} must be a string")))?;
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Invalid::request(
                "env must not have an empty name, a name with =, or a NUL",
            ));
        }
        Ok((name.clone(), value.to_owned()))
    };
    fields.iter().map(variable).collect()
}

fn stdin(value: &Value) -> Result<Vec<u8>, Invalid> {
    match value {
        Value::String(text) => Ok(text.clone().into_bytes()),
        Value::Object(fields) => fields
            .get("base64")
            .and_then(Value::as_str)
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .ok_or_else(|| Invalid::request("stdin.base64 must be a string of padded base64")),
        _ => Err(Invalid::request("stdin must be a string or {\"base64\": string}")),
    }
}

fn detached(value: &Value) -> Result<bool, Invalid> {
    value
        .as_bool()
        .ok_or_else(|| Invalid::request("detached must be a boolean"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<ExecRequest, (u16, String)> {
        ExecRequest::parse(body.as_bytes()).map_err(|e| (e.status(), e.message().to_owned()))
    }

    #[test]
    fn the_smallest_body() {
        let request = parse(r#"{"argv":["true"],"unknown":[1],"cwd":null}"#).unwrap();
        assert_eq!(request.argv, ["true"]);
        assert_eq!(
            (request.cwd, request.timeout_ms, request.detached),
            (None, None, false)
        );
        assert_eq!((request.env.len(), request.stdin), (0, None));
    }

    #[test]
    fn every_field() {
        let request = parse(
            r#"{"argv":["a","b c\n\"é"],"timeout_ms":1500.0,"cwd":"src","env":{"A":"b=c","B":""},
                "stdin":{"base64":"AP8="},"detached":true}"#,
        );
        let request = request.unwrap();
        assert_eq!(request.argv, ["a", "b c\n\"é"]);
        assert_eq!(request.timeout_ms.unwrap().get(), 1500);
        assert_eq!(request.cwd.unwrap().as_str(), "/workspace/src");
        assert_eq!(
            (request.env["A"].as_str(), request.env["B"].as_str()),
            ("b=c", "")
        );
        assert_eq!(
            (request.stdin.as_deref(), request.detached),
            (Some(&[0, 0xff][..]), true)
        );
        let text = parse(r#"{"argv":["a"],"stdin":"text"}"#).unwrap().stdin;
        assert_eq!(text.as_deref(), Some(&b"text"[..]));
    }

    #[test]
    fn each_error_names_its_field() {
        for (body, status, word) in [
            ("", 400, "Invalid JSON body"),
            ("{", 400, "Invalid JSON body"),
            ("[]", 400, "Invalid JSON body"),
            ("{}", 400, "argv must be a non-empty array"),
            (r#"{"argv":[]}"#, 400, "argv must be a non-empty array"),
            (r#"{"argv":"ls"}"#, 400, "argv must be a non-empty array"),
            (r#"{"argv":["a",1]}"#, 400, "argv[1]"),
            (r#"{"argv":["a\u0000"]}"#, 400, "argv[0]"),
            (r#"{"argv":["a"],"timeout_ms":0}"#, 400, "timeout_ms"),
            (r#"{"argv":["a"],"timeout_ms":-5}"#, 400, "timeout_ms"),
            (r#"{"argv":["a"],"timeout_ms":1.5}"#, 400, "timeout_ms"),
            (r#"{"argv":["a"],"timeout_ms":"5"}"#, 400, "timeout_ms"),
            (r#"{"argv":["a"],"timeout_ms":1e300}"#, 400, "timeout_ms"),
            (r#"{"argv":["a"],"cwd":5}"#, 400, "cwd"),
            (r#"{"argv":["a"],"cwd":"/etc"}"#, 403, "within /workspace"),
            (r#"{"argv":["a"],"cwd":"../etc"}"#, 403, "within /workspace"),
            (r#"{"argv":["a"],"env":["A=b"]}"#, 400, "env"),
            (r#"{"argv":["a"],"env":{"A":1}}"#, 400, "env.A"),
            (r#"{"argv":["a"],"env":{"A=":"b"}}"#, 400, "env"),
            (r#"{"argv":["a"],"env":{"A":"\u0000"}}"#, 400, "env"),
            (r#"{"argv":["a"],"stdin":5}"#, 400, "stdin"),
            (r#"{"argv":["a"],"stdin":{"base64":"%"}}"#, 400, "stdin.base64"),
            (r#"{"argv":["a"],"stdin":{}}"#, 400, "stdin.base64"),
            (r#"{"argv":["a"],"stdin":{"base64":"QQ"}}"#, 400, "stdin.base64"),
            (
                r#"{"argv":["a"],"stdin":{"base64":"QQ==QQ=="}}"#,
                400,
                "stdin.base64",
            ),
            (
                r#"{"argv":["a"],"stdin":{"base64":"QQ==\""}}"#,
                400,
                "stdin.base64",
            ),
            (
                r#"{"argv":["a"],"stdin":{"base64":"QUFB\n"}}"#,
                400,
                "stdin.base64",
            ),
            (
                r#"{"argv":["a"],"stdin":{"base64":"\u0151=="}}"#,
                400,
                "stdin.base64",
            ),
            (r#"{"argv":["a"],"stdin":"x"} x"#, 400, "Invalid JSON body"),
            (r#"{"argv":["\\\u0000"]}"#, 400, "argv[0]"),
            (r#"{"argv":["a"],"detached":"yes"}"#, 400, "detached"),
        ] {
            let (got, message) = parse(body).unwrap_err();
            assert_eq!(got, status, "{body}: {message}");
            assert!(message.contains(word), "{body}: {message}");
        }
    }
}
