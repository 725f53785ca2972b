//! The checkout of a git repository: its request, its answer and its `result` event.

mod name;
mod url;

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::exec::timeout_ms;
use crate::json::{self, field, whole};
#[cfg(feature = "schema")]
use crate::schema;
use crate::{ErrorBody, Invalid, WorkspacePath};

pub use name::{is_commit_id, is_commit_prefix};
pub use url::{RepoUrl, without_credentials};

/// The largest body of a checkout, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The user name that a token is sent with when the request has none. Forges that issue tokens
/// accept any.
pub const DEFAULT_USERNAME: &str = "x-access-token";

/// The largest `depth`. For git, a larger one is the whole history.
const MAX_DEPTH: u64 = 0x7fff_fffe;

/// The filters of partial clones that are accepted.
const FILTERS: [&str; 1] = ["blob:none"];

/// The body of `POST …/git/checkout`. Unknown fields are ignored. A field that is `null` counts as
/// absent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename_all = "camelCase")
)]
pub struct CheckoutRequest {
    /// The repository: a URL of `https`, `http` or `ssh`, or `git@host:path`. A user and a password
    /// in a URL of `https` or `http` count as `auth`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::RepoUrl"))]
    pub repo_url: RepoUrl,
    /// A branch, a tag, a commit, or a full name like `refs/pull/1/head`. Absent, and no `branch`:
    /// the default branch of the repository.
    #[cfg_attr(
        feature = "schema",
        schemars(rename = "ref", with = "Option<schema::RefName>")
    )]
    pub reference: Option<String>,
    /// A branch. Not together with `ref`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::RefName>"))]
    pub branch: Option<String>,
    /// The number of commits that are fetched of the history. Absent: all of them.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<u64>", range(min = 1, max = MAX_DEPTH))
    )]
    pub depth: Option<NonZeroU32>,
    /// The directory of the checkout: a path within /workspace, or relative to it. Absent: the last
    /// part of the URL, without `.git`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<WorkspacePath>"))]
    pub target_dir: WorkspacePath,
    /// Whether the submodules are checked out, too, and theirs. Default: false.
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub submodules: bool,
    /// The filter of a partial clone: `blob:none` fetches the contents of files when they are needed.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["blob:none", null])))]
    pub filter: Option<String>,
    /// The timeout in milliseconds. Then git is ended.
    #[cfg_attr(
        feature = "schema",
        schemars(rename = "timeout_ms", range(max = u64::MAX))
    )]
    pub timeout_ms: Option<NonZeroU64>,
    /// The credentials for a URL of `https` or `http`. No command in the sandbox can read them.
    pub auth: Option<Auth>,
}

/// The credentials of a checkout.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "GitAuth", inline)
)]
pub struct Auth {
    /// The token or the password.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Token"))]
    pub token: String,
    /// The user name. Default: `x-access-token`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::UserName>"))]
    pub username: String,
}

impl fmt::Debug for Auth {
    /// Without the token, so that no log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// The answer of `POST …/git/checkout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// Always true. A failure is an error response.
    pub success: bool,
    /// The repository, without credentials.
    pub repo_url: String,
    /// The branch that is checked out. Absent after the checkout of a tag or a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit that is checked out.
    pub commit: String,
    /// The directory of the checkout.
    pub target_dir: String,
}

/// The data of the `result` event of a checkout that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckoutFailure {
    /// Always false.
    pub success: bool,
    /// The error.
    #[serde(flatten)]
    pub body: ErrorBody,
}

/// The data of the `result` event of a checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum CheckoutResult {
    /// The checkout.
    Done(Checkout),
    /// The reason why there is none.
    Failed(CheckoutFailure),
}

impl From<Result<Checkout, ErrorBody>> for CheckoutResult {
    fn from(result: Result<Checkout, ErrorBody>) -> Self {
        match result {
            Ok(checkout) => Self::Done(checkout),
            Err(body) => Self::Failed(CheckoutFailure { success: false, body }),
        }
    }
}

impl CheckoutRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a `targetDir` outside the workspace: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let url = text(&fields, "repoUrl")?.ok_or_else(|| Invalid::request("repoUrl must be a string"))?;
        let (repo_url, in_url) = RepoUrl::parse(url)?;
        let reference = name(&fields, "ref")?;
        let branch = name(&fields, "branch")?;
        if reference.is_some() && branch.is_some() {
            return Err(Invalid::request("ref and branch cannot both be set"));
        }
        let auth = field(&fields, "auth").map(auth).transpose()?;
        if auth.is_some() && !repo_url.is_web() {
            return Err(Invalid::request("auth is for URLs of http and https"));
        }
        if auth.is_some() && in_url.is_some() {
            return Err(Invalid::request("auth is set, and repoUrl has credentials, too"));
        }
        let target_dir = match text(&fields, "targetDir")? {
            Some(directory) => WorkspacePath::parse("targetDir", directory)?,
            None => WorkspacePath::parse("targetDir", repo_url.directory())?,
        };
        Ok(Self {
            reference,
            branch,
            depth: field(&fields, "depth").map(depth).transpose()?,
            target_dir,
            submodules: json::flag(&fields, "submodules", false)?,
            filter: text(&fields, "filter")?.map(filter).transpose()?,
            timeout_ms: field(&fields, "timeout_ms").map(timeout_ms).transpose()?,
            auth: auth.or(in_url),
            repo_url,
        })
    }

    /// The body that [`parse`](Self::parse) reads as this request without its credentials and its
    /// timeout.
    pub fn to_json_without_auth(&self) -> String {
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("repoUrl", self.repo_url.as_str().into());
        for (name, value) in [
            ("ref", &self.reference),
            ("branch", &self.branch),
            ("filter", &self.filter),
        ] {
            if let Some(value) = value {
                set(name, value.as_str().into());
            }
        }
        if let Some(depth) = self.depth {
            set("depth", json!(depth));
        }
        if self.submodules {
            set("submodules", true.into());
        }
        set("targetDir", self.target_dir.as_str().into());
        Value::Object(fields).to_string()
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Invalid> {
    let text = |value: &'a Value| value.as_str();
    field(fields, name)
        .map(|value| text(value).ok_or_else(|| Invalid::request(format!("{name} must be a string"))))
        .transpose()
}

fn name(fields: &Map<String, Value>, field: &str) -> Result<Option<String>, Invalid> {
    text(fields, field)?
        .map(|text| name::parse(field, text))
        .transpose()
}

fn depth(value: &Value) -> Result<NonZeroU32, Invalid> {
    whole(value)
        .filter(|depth| *depth <= MAX_DEPTH)
        .and_then(|depth| NonZeroU32::new(u32::try_from(depth).ok()?))
        .ok_or_else(|| Invalid::request(format!("depth must be a whole number from 1 to {MAX_DEPTH}")))
}

fn filter(text: &str) -> Result<String, Invalid> {
    let is_known = FILTERS.contains(&text);
    is_known
        .then(|| text.to_owned())
        .ok_or_else(|| Invalid::request(format!("filter must be {}", FILTERS.join(" or "))))
}

fn auth(value: &Value) -> Result<Auth, Invalid> {
    let fields = value
        .as_object()
        .ok_or_else(|| Invalid::request("auth must be an object"))?;
    let is_line = |text: &&str| !text.is_empty() && !text.contains(is_control);
    let token = field(fields, "token").and_then(Value::as_str).filter(is_line);
    let token =
        token.ok_or_else(|| Invalid::request("auth.token must be a string without control characters"))?;
    let username = match field(fields, "username") {
        None => DEFAULT_USERNAME,
        Some(name) => name
            .as_str()
            .filter(|name| is_line(name) && !name.contains(':'))
            .ok_or_else(|| {
                Invalid::request("auth.username must be a string without colons and control characters")
            })?,
    };
    Ok(Auth {
        token: token.to_owned(),
        username: username.to_owned(),
    })
}

/// A control character of ASCII.
fn is_control(c: char) -> bool {
    c.is_ascii_control()
}

#[cfg(test)]
mod tests;
