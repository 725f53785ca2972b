//! The status of a file.

use serde::{Deserialize, Serialize};

/// A file, a directory, or anything else that has a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The last name of the path.
    pub name: String,
    /// The absolute path.
    pub path: String,
    /// Its type.
    #[serde(rename = "type")]
    pub entry_type: EntryType,
    /// Its size in bytes; of a link, the length of the target.
    pub size: u64,
    /// Its permissions, as four octal digits. Set-id and sticky bits come first.
    pub mode: String,
    /// The time of the last change of its content: RFC 3339, in UTC.
    pub modified_at: String,
    /// The number of its owner.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// The target of a link, as the link has it. Absent if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "snake_case")]
pub enum EntryType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO, a socket or a device.
    Other,
}
