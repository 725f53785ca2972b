//! The bodies and queries of requests about snapshots.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::SnapshotId;
use crate::archive::parse_exclude;
use crate::json::{self, field, natural, text};
use crate::sandbox::Settings;
use crate::workspace_path::WORKSPACE;
use crate::{ErrorBody, FilePath, FileRoots, Invalid, SandboxId, duration, query};

/// The default of a fork's `count`.
pub const DEFAULT_COUNT: u64 = 1;

/// The largest `count` of a fork.
pub const MAX_COUNT: u64 = 100;

/// The longest name of a snapshot, in bytes.
const MAX_NAME: usize = 256;

/// The most patterns of `excludes`.
const MAX_EXCLUDES: usize = 1000;

/// The shortest `interval` of `autoSave`.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// The body of `POST …/snapshot`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotRequest {
    /// A name, for people: at most 256 bytes.
    pub name: Option<String>,
    /// The directory. Default: `/workspace`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<FilePath>"))]
    pub dir: FilePath,
    /// Patterns of files that are left out, as in `persist`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<crate::schema::Text>>"))]
    pub excludes: Vec<String>,
    /// The time after which it is deleted, like `72h`. Default: never.
    #[cfg_attr(feature = "schema", schemars(with = "Option<super::schema::Duration>"))]
    pub ttl: Option<Duration>,
}

impl SnapshotRequest {
    /// Parses a JSON body, which may be empty.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a directory outside of the roots: the message names the field.
    pub fn parse(body: &[u8], roots: &FileRoots) -> Result<Self, Invalid> {
        let fields = json::optional_object(body)?;
        let dir = text(&fields, "dir")?;
        let ttl = text(&fields, "ttl")?;
        Ok(Self {
            name: text(&fields, "name")?.map(checked_name).transpose()?,
            dir: FilePath::parse("dir", dir.as_deref().unwrap_or(WORKSPACE), roots)?,
            excludes: excludes(&fields)?,
            ttl: ttl
                .map(|ttl| {
                    duration::parse(&ttl).ok_or_else(|| Invalid::request("ttl must be a duration like 72h"))
                })
                .transpose()?,
        })
    }
}

/// The body of `POST …/restore`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RestoreRequest {
    /// The id of the snapshot.
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Id"))]
    pub snapshot: SnapshotId,
    /// The directory that gets the files. Default: the one that was saved.
    pub dir: Option<FilePath>,
}

impl RestoreRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a directory outside of the roots: the message names the field.
    pub fn parse(body: &[u8], roots: &FileRoots) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let id = text(&fields, "snapshot")?;
        let id = id.ok_or_else(|| Invalid::request("snapshot must be the id of a snapshot"))?;
        let dir = text(&fields, "dir")?;
        Ok(Self {
            snapshot: SnapshotId::parse(&id)?,
            dir: dir.map(|dir| FilePath::parse("dir", &dir, roots)).transpose()?,
        })
    }
}

/// The body of `POST …/fork`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ForkRequest {
    /// The number of new sandboxes. Default: 1.
    #[cfg_attr(feature = "schema", schemars(with = "Option<u64>", range(min = 1, max = MAX_COUNT)))]
    pub count: u64,
}

impl ForkRequest {
    /// Parses a JSON body, which may be empty.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::optional_object(body)?;
        let count = natural(&fields, "count", 1..=MAX_COUNT)?;
        Ok(Self {
            count: count.unwrap_or(DEFAULT_COUNT),
        })
    }
}

/// A new sandbox, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum ForkItem {
    /// A sandbox.
    Sandbox {
        /// Its id.
        #[cfg_attr(feature = "schema", schemars(with = "SandboxId"))]
        id: String,
    },
    /// An error.
    Error(ErrorBody),
}

/// The snapshot and the settings of the new sandboxes of a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkSource {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The settings, the values of `env` included.
    pub settings: Settings,
}

/// The answer of `POST …/fork`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ForkResult {
    /// The new sandboxes, `count` of them.
    pub sandboxes: Vec<ForkItem>,
    /// The snapshot that they begin with.
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Id"))]
    pub snapshot: SnapshotId,
}

/// The setting `autoSave`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AutoSave {
    /// When the workspace is saved: before the sandbox sleeps.
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::OnSleep"))]
    pub on: String,
    /// Patterns of files that are left out, as in `persist`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<crate::schema::Text>>"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// The interval at which it is saved, too, if something has changed: a duration like `10m`, at
    /// least 10 s.
    #[cfg_attr(feature = "schema", schemars(with = "Option<super::schema::Duration>"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
}

impl AutoSave {
    /// Checks the value of the setting.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn from_value(value: &Value) -> Result<Self, Invalid> {
        let Value::Object(fields) = value else {
            return Err(Invalid::request(
                "autoSave must be an object like {\"on\":\"sleep\"}",
            ));
        };
        if field(fields, "on").and_then(Value::as_str) != Some("sleep") {
            return Err(Invalid::request("autoSave.on must be \"sleep\""));
        }
        let interval = text(fields, "interval")?;
        let is_interval = |text: &String| duration::parse(text).is_some_and(|every| every >= MIN_INTERVAL);
        if interval.as_ref().is_some_and(|text| !is_interval(text)) {
            return Err(Invalid::request(
                "autoSave.interval must be a duration like 10m, of at least 10s",
            ));
        }
        Ok(Self {
            on: "sleep".to_owned(),
            excludes: excludes(fields)?,
            interval,
        })
    }

    /// The interval at which the workspace is saved.
    pub fn interval(&self) -> Option<Duration> {
        duration::parse(self.interval.as_deref()?)
    }
}

/// The query of `GET /v1/snapshot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Only snapshots of this sandbox.
    pub sandbox: Option<SandboxId>,
    /// The most snapshots on a page.
    pub limit: usize,
    /// The id of the last snapshot of the page before.
    pub cursor: Option<SnapshotId>,
}

impl ListQuery {
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// 400: the message names the parameter.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let sandbox = query::value(text, "sandbox")?.filter(|id| !id.is_empty());
        let cursor = query::value(text, "cursor")?.filter(|cursor| !cursor.is_empty());
        Ok(Self {
            sandbox: sandbox.map(|id| SandboxId::parse(&id)).transpose()?,
            limit: query::natural(text, "limit", 1..=1000)?.unwrap_or(100),
            cursor: cursor
                .map(|cursor| SnapshotId::parse(&cursor))
                .transpose()
                .map_err(|_| Invalid::request("cursor must be the cursor of a page before"))?,
        })
    }
}

fn excludes(fields: &Map<String, Value>) -> Result<Vec<String>, Invalid> {
    let wrong = || Invalid::request(format!("excludes must be at most {MAX_EXCLUDES} strings"));
    let Some(value) = field(fields, "excludes") else {
        return Ok(Vec::new());
    };
    let list = value
        .as_array()
        .filter(|list| list.len() <= MAX_EXCLUDES)
        .ok_or_else(wrong)?;
    let mut excludes = Vec::new();
    for exclude in list {
        excludes.extend(parse_exclude(exclude.as_str().ok_or_else(wrong)?)?);
    }
    Ok(excludes)
}

fn checked_name(name: String) -> Result<String, Invalid> {
    if (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(Invalid::request(format!(
        "name must have 1 to {MAX_NAME} bytes, without control characters"
    )))
}

#[cfg(test)]
mod tests;
