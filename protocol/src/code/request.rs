//! The bodies of requests for contexts and runs.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde_json::{Map, Value};

use super::ContextId;
use crate::exec::{cwd, env, process_id, timeout_ms};
use crate::json::{self, field, natural};
#[cfg(feature = "schema")]
use crate::schema;
use crate::{Invalid, ProcessId, WorkspacePath};

/// The language of a request that names none.
pub const DEFAULT_LANGUAGE: &str = "python";

/// The timeout of a run that names none, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: u64 = 60_000;

/// The most characters of the name of a language.
const MAX_LANGUAGE: usize = 100;

/// The body of `POST …/context`. Unknown fields are ignored. A field that is `null` counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContextRequest {
    /// The language, or the name of a kernel. Default: `python`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::LanguageName>"))]
    pub language: String,
    /// The directory that the kernel starts in: a path within /workspace, or relative to it. Default:
    /// /workspace.
    pub cwd: Option<WorkspacePath>,
    /// Environment variables of the kernel.
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Variables>"))]
    pub env: BTreeMap<String, String>,
    /// The id of the context: 1 to 128 characters of `a-zA-Z0-9._-`, without `..`. Absent: a random
    /// one.
    pub id: Option<ContextId>,
}

/// The context of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One that exists.
    Context(ContextId),
    /// The default one of a language.
    Language(String),
}

/// The body of `POST …/run-code`. Unknown fields are ignored. A field that is `null` counts as absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCodeRequest {
    /// The code.
    pub code: String,
    /// Its context.
    pub target: Target,
    /// The directory of this run alone.
    pub cwd: Option<WorkspacePath>,
    /// Environment variables of this run alone.
    pub env: BTreeMap<String, String>,
    /// The timeout in milliseconds, from the start of the code. Then it is interrupted.
    pub timeout_ms: NonZeroU64,
    /// Whether the code continues without its client.
    pub detached: bool,
    /// The time for which the code continues without its client, in milliseconds.
    pub linger_ms: u64,
    /// The id of the run as a process. Absent: a random one.
    pub id: Option<ProcessId>,
    /// Whether large images are left out of the results, which then have their URLs alone.
    pub image_urls: bool,
}

impl ContextRequest {
    /// Parses a JSON body; an empty one has no fields.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a `cwd` outside the workspace: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::optional_object(body)?;
        Ok(Self {
            language: language(&fields)?.unwrap_or_else(|| DEFAULT_LANGUAGE.to_owned()),
            cwd: field(&fields, "cwd").map(cwd).transpose()?,
            env: field(&fields, "env").map(env).transpose()?.unwrap_or_default(),
            id: json::text(&fields, "id")?
                .map(|id| ContextId::parse(&id))
                .transpose()?,
        })
    }
}

impl RunCodeRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a `cwd` outside the workspace: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let mut fields = json::object(body)?;
        let code = match fields.remove("code") {
            Some(Value::String(code)) => code,
            _ => return Err(Invalid::request("code must be a string")),
        };
        Ok(Self {
            code,
            target: target(&fields)?,
            cwd: field(&fields, "cwd").map(cwd).transpose()?,
            env: field(&fields, "env").map(env).transpose()?.unwrap_or_default(),
            timeout_ms: field(&fields, "timeout_ms")
                .map(timeout_ms)
                .transpose()?
                .or(NonZeroU64::new(DEFAULT_TIMEOUT_MS))
                .unwrap_or(NonZeroU64::MAX),
            detached: json::flag(&fields, "detached", false)?,
            linger_ms: natural(&fields, "linger_ms", 0..=u64::MAX)?.unwrap_or(0),
            id: field(&fields, "id").map(process_id).transpose()?,
            image_urls: json::flag(&fields, "image_urls", false)?,
        })
    }
}

fn target(fields: &Map<String, Value>) -> Result<Target, Invalid> {
    let context = |name: &str| field(fields, name).map(context).transpose();
    let (named, other) = (context("context")?, context("context_id")?);
    let language = language(fields)?;
    Ok(match named.or(other) {
        Some(id) => Target::Context(id),
        None => Target::Language(language.unwrap_or_else(|| DEFAULT_LANGUAGE.to_owned())),
    })
}

/// The id of a context. The whole context of an earlier answer is accepted, too.
fn context(value: &Value) -> Result<ContextId, Invalid> {
    let id = match value {
        Value::Object(context) => context.get("id"),
        context => Some(context),
    };
    let id = id
        .and_then(Value::as_str)
        .ok_or_else(|| Invalid::request("context must be the id of a context"))?;
    ContextId::parse(id)
}

fn language(fields: &Map<String, Value>) -> Result<Option<String>, Invalid> {
    let Some(language) = json::text(fields, "language")? else {
        return Ok(None);
    };
    if !is_language(&language) {
        return Err(Invalid::request(
            "language must be the name of a language or of a kernel",
        ));
    }
    Ok(Some(language))
}

fn is_language(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._+#-".contains(c);
    !name.is_empty() && name.len() <= MAX_LANGUAGE && name.chars().all(is_allowed)
}

/// The languages whose kernels are kept ready: names of languages or kernels, with commas between them.
/// `None`: the text has another form.
pub fn parse_prewarm(text: &str) -> Option<Vec<String>> {
    let names = text.split(',').map(str::trim);
    let names: Vec<String> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    names.iter().all(|name| is_language(name)).then_some(names)
}
