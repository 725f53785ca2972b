//! The requests of the Sandbox object to `sandboxd` that save and restore a directory.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::sandboxd::SAVE;

/// The body of `POST` on [`SAVE`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveRequest {
    /// The directory.
    pub dir: String,
    /// The patterns to leave out: see [`crate::PersistOptions`].
    #[serde(default)]
    pub excludes: Vec<String>,
    /// The version of the last save or restore: nothing is saved if the directory still has it.
    #[serde(default)]
    pub unless: Option<String>,
}

/// The answer of `POST` on [`SAVE`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveStarted {
    /// The id of the save. Absent: nothing has changed.
    #[serde(default)]
    pub save: Option<String>,
}

/// The result of the program `.sandbox/before-save`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HookResult {
    /// Its exit code.
    pub exit_code: i32,
    /// Whether it was ended because its time was over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// The end of its output.
    pub output: String,
}

/// What an archive contains: the answer of `GET` on `/save/{id}/contents`, once the last part was
/// sent, and the last frame of the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The number of files, directories and links, without the directory itself.
    pub files: u64,
    /// The bytes of all files. Those of a file with several names (hard links) count once.
    pub bytes: u64,
    /// The SHA-256 of the tar, decompressed, in hex.
    pub sha256: String,
    /// The bytes of the archive, its last frame included, which is this JSON.
    pub archive_bytes: u64,
    /// The offset of the skippable frame with the index.
    pub index_offset: u64,
    /// The length of that frame, its head of 8 bytes included.
    pub index_length: u64,
    /// The number of files that were changed while they were read.
    #[serde(default)]
    pub changed: u64,
    /// The first of them: at most 100, and at most 32 KiB together.
    #[serde(default)]
    pub changed_paths: Vec<String>,
    /// The version of the directory at the time of the save. It is another one after any change.
    pub version: String,
    /// The result of the program before the save, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookResult>,
}

/// The answer of `POST` on [`crate::sandboxd::RESTORE`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The version of the directory now.
    pub version: String,
}

/// What runs in a sandbox and is to run again after it slept: the answer of `GET` on
/// [`crate::sandboxd::RESUME`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Resume {
    /// The buckets that are mounted: each a [`crate::MountRequest`].
    #[serde(default)]
    pub mounts: Vec<Box<RawValue>>,
    /// The processes with `restart`: each an [`crate::ExecRequest`].
    #[serde(default)]
    pub processes: Vec<Box<RawValue>>,
}

/// The path of a save on `sandboxd`, or of a part of it: `part` is empty, or begins with `/`.
pub fn save_url(save: &str, part: &str) -> String {
    format!("{SAVE}/{save}{part}")
}

/// The path of part `number` of an archive, from 1.
pub fn part_url(save: &str, number: u32) -> String {
    save_url(save, &format!("/part/{number}"))
}
