//! The request that runs a command, and its answer as JSON.

mod check;

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::event::Exit;
use crate::json::{self, field, natural, whole};
use crate::process::ProcessId;
#[cfg(feature = "schema")]
use crate::schema;
use crate::{Invalid, WorkspacePath};

/// The largest exec body, in bytes: its `stdin` travels inside it. Larger input belongs in a file.
pub const MAX_BODY: usize = 32 * 1024 * 1024;

/// Response header with the id of the process that runs the command.
pub const PROCESS_HEADER: &str = "process-id";

/// The default of `log_bytes`.
pub const DEFAULT_LOG_BYTES: u64 = 1024 * 1024;

/// The largest `log_bytes`.
pub const MAX_LOG_BYTES: u64 = 16 * 1024 * 1024;

/// The body of `POST …/exec` and of `POST …/process`. Unknown fields are ignored. A field that is
/// `null` counts as absent. One of `argv` and `command` is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("oneOf" = [
        { "required": ["argv"], "properties": { "argv": { "type": "array" } } },
        { "required": ["command"], "properties": { "command": { "type": "string" } } },
    ]))
)]
pub struct ExecRequest {
    /// The program and its arguments: at least one string, none with a NUL. Executed without a
    /// shell.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<schema::Text>>", length(min = 1))
    )]
    pub argv: Vec<String>,
    /// A command line in the place of `argv`: for `bash -c`, or for `sh -c` where there is no bash.
    #[cfg_attr(
        feature = "schema",
        schemars(rename = "command", with = "Option<schema::Text>")
    )]
    pub is_command_line: bool,
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
    /// The milliseconds for which the command of `POST …/exec` continues after its client has
    /// disconnected, unless a client attaches to it again. Default: 0. `detached`: no limit.
    #[cfg_attr(feature = "schema", schemars(with = "Option<u64>", range(max = u64::MAX)))]
    pub linger_ms: u64,
    /// The id of the process: 1 to 128 characters of `a-zA-Z0-9._-`, without `..`. Absent: a random
    /// one. The same request with the same id starts nothing again.
    pub id: Option<ProcessId>,
    /// Whether the id may be that of a process that has ended, which is then forgotten. Default:
    /// false.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub replace: bool,
    /// Whether the standard input stays open behind `stdin`, for `POST …/stdin` and `attach`.
    /// Default: false.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub stdin_open: bool,
    /// The bytes of output that the log keeps of the beginning, and again of the end. Default: 1
    /// MiB.
    #[cfg_attr(feature = "schema", schemars(with = "Option<u64>", range(max = MAX_LOG_BYTES)))]
    pub log_bytes: u64,
    /// Whether the running process keeps its sandbox awake. Default: true.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub keep_awake: bool,
    /// Whether the process is started again after a sleep, once `autoSave` has restored the workspace.
    /// Default: false. Only for `POST …/process`, without `Session-Id`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub restart: bool,
}

impl ExecRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a `cwd` outside the workspace: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let flag = |name: &str, default: bool| json::flag(&fields, name, default);
        let (argv, is_command_line) = program(&fields)?;
        Ok(Self {
            argv,
            is_command_line,
            timeout_ms: field(&fields, "timeout_ms").map(timeout_ms).transpose()?,
            cwd: field(&fields, "cwd").map(cwd).transpose()?,
            env: field(&fields, "env").map(env).transpose()?.unwrap_or_default(),
            stdin: field(&fields, "stdin")
                .map(stdin)
                .transpose()?
                .filter(|bytes| !bytes.is_empty()),
            detached: flag("detached", false)?,
            linger_ms: natural(&fields, "linger_ms", 0..=u64::MAX)?.unwrap_or(0),
            id: field(&fields, "id").map(process_id).transpose()?,
            replace: flag("replace", false)?,
            stdin_open: flag("stdin_open", false)?,
            log_bytes: natural(&fields, "log_bytes", 0..=MAX_LOG_BYTES)?.unwrap_or(DEFAULT_LOG_BYTES),
            keep_awake: flag("keep_awake", true)?,
            restart: flag("restart", false)?,
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

/// The arguments, and whether they are of a command line.
fn program(fields: &Map<String, Value>) -> Result<(Vec<String>, bool), Invalid> {
    match (field(fields, "argv"), field(fields, "command")) {
        (Some(_), Some(_)) => Err(Invalid::request("argv and command cannot both be set")),
        (_, None) => Ok((argv(fields)?, false)),
        (None, Some(Value::String(line))) if line.contains('\0') => {
            Err(Invalid::request("command must not contain NUL"))
        }
        (None, Some(Value::String(line))) => Ok((vec!["bash".into(), "-c".into(), line.clone()], true)),
        (None, Some(_)) => Err(Invalid::request("command must be a string")),
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

pub(crate) fn timeout_ms(value: &Value) -> Result<NonZeroU64, Invalid> {
    whole(value)
        .and_then(NonZeroU64::new)
        .ok_or_else(|| Invalid::request("timeout_ms must be a positive integer"))
}

pub(crate) fn process_id(value: &Value) -> Result<ProcessId, Invalid> {
    let id = value
        .as_str()
        .ok_or_else(|| Invalid::request("id must be a string"))?;
    ProcessId::parse(id)
}

pub(crate) fn cwd(value: &Value) -> Result<WorkspacePath, Invalid> {
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

/// The most bytes of the beginning, and again of the end, of each output in an [`ExecResult`].
pub const RESULT_BYTES: usize = 512 * 1024;

/// The answer of `POST …/exec` to a client that accepts only JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecResult {
    /// How the command ended.
    #[serde(flatten)]
    pub exit: Exit,
    /// Its standard output: the first and the last 512 KiB.
    pub stdout: OutputText,
    /// Its standard error: the first and the last 512 KiB.
    pub stderr: OutputText,
    /// The id of its process.
    #[serde(rename = "processId")]
    pub process_id: String,
    /// Whether bytes in the middle of `stdout` are missing.
    #[serde(
        rename = "stdoutTruncated",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub stdout_truncated: bool,
    /// Whether bytes in the middle of `stderr` are missing.
    #[serde(
        rename = "stderrTruncated",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub stderr_truncated: bool,
}

/// Output as text, or as base64 if it is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum OutputText {
    /// Text.
    Text(String),
    /// Bytes that are not UTF-8.
    Bytes {
        /// The bytes, as padded base64.
        base64: String,
    },
}

impl OutputText {
    /// The output `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(e) => Self::Bytes {
                base64: STANDARD.encode(e.as_bytes()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
