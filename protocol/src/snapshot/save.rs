//! The requests of the Sandbox object to `sandboxd` that save and restore a directory.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::archive::archive_path;
use crate::sandboxd::SAVE;
use crate::{FilePath, FileRoots, Invalid, query};

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

/// The content of an archive: the answer of `GET` on `/save/{id}/contents`, once the last part was
/// sent, and the last frame of the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The number of files, directories and links, without the directory itself.
    pub files: u64,
    /// The bytes of all files. Those of a file with several names (hard links) count once.
    pub bytes: u64,
    /// The owner of restored files, by number.
    #[serde(default)]
    pub uid: u32,
    /// Their group.
    #[serde(default)]
    pub gid: u32,
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

/// The query of `POST` on [`crate::sandboxd::RESTORE`], as [`crate::sandboxd::restore_url`] writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreQuery {
    /// The directory.
    pub dir: FilePath,
    /// The SHA-256 of the archive's tar, in hex.
    pub sha256: String,
    /// The number of files, directories and links in it.
    pub files: u64,
    /// Whether the old content is deleted first. A failure leaves an empty directory then.
    pub discard: bool,
}

impl RestoreQuery {
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// 400, or 403 for a directory outside of the roots: the message names the parameter.
    pub fn parse(text: &str, roots: &FileRoots) -> Result<Self, Invalid> {
        let missing = |name: &str| Invalid::request(format!("the parameter {name} is missing"));
        let files = query::value(text, "files")?.ok_or_else(|| missing("files"))?;
        Ok(Self {
            dir: archive_path(text, roots)?.ok_or_else(|| missing("path"))?,
            sha256: query::value(text, "sha256")?.ok_or_else(|| missing("sha256"))?,
            files: files
                .parse()
                .map_err(|_| Invalid::request("files must be a whole number"))?,
            discard: query::flag(text, "discard")?,
        })
    }
}

/// The answer of `POST` on [`crate::sandboxd::RESTORE`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The version of the directory now.
    pub version: String,
}

/// The mounts and processes that are to run again after a sleep: the answer of `GET` on
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandboxd::restore_url;

    #[test]
    fn the_query_of_a_restore_reads_back() {
        let roots = FileRoots::default();
        let query = RestoreQuery {
            dir: FilePath::parse("dir", "/workspace/a b&c", &roots).unwrap(),
            sha256: "ab12".into(),
            files: u64::MAX,
            discard: true,
        };
        let url = restore_url(&query);
        let (_, text) = url.split_once('?').unwrap();
        assert_eq!(RestoreQuery::parse(text, &roots), Ok(query));
        for (text, status) in [
            ("", 400),
            ("path=/workspace&sha256=a", 400),
            ("path=/workspace&files=1", 400),
            ("sha256=a&files=1", 400),
            ("path=/workspace&sha256=a&files=-1", 400),
            ("path=/etc&sha256=a&files=1", 403),
        ] {
            let refused = RestoreQuery::parse(text, &roots).unwrap_err();
            assert_eq!(refused.status(), status, "{text}");
        }
    }
}
