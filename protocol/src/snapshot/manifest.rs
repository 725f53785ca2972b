//! The description of a snapshot: as it is stored, and as clients see it.

use serde::{Deserialize, Serialize};

use super::{Contents, HookResult, SnapshotId};
#[cfg(feature = "schema")]
use crate::schema::Time;
use crate::time;

/// The content of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An archive of the directory.
    Archive,
    /// An archive of the directory, and the whole file system of the container, as long as the
    /// platform keeps it.
    Container,
}

/// The file system of a container, kept by the platform. A container that starts from it has
/// everything outside of the directory, too, like installed packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSnapshot {
    /// The platform's own handle: an object.
    pub handle: serde_json::Value,
    /// The platform's name of the image that the container was started with. Only changes of the
    /// image are kept, so it is of no use with another one.
    pub image: String,
}

/// A restore of a workspace by a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Restoration {
    /// The id of the snapshot.
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Id"))]
    pub snapshot: SnapshotId,
    /// The content that was restored: with `archive`, the directory alone.
    pub kind: Kind,
    /// The reason why the file system of the container could not be restored, though the snapshot
    /// has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The stored description of a snapshot. A snapshot without it does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The id.
    pub id: SnapshotId,
    /// The name that the client gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The id of its sandbox.
    pub sandbox: String,
    /// The directory.
    pub dir: String,
    /// The time of its creation, in milliseconds since 1970.
    pub created_ms: u64,
    /// The time at which it is deleted, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Whether `autoSave` made it.
    #[serde(default)]
    pub is_auto_save: bool,
    /// The file system of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSnapshot>,
    /// The content of the archive.
    pub contents: Contents,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its id.
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Id"))]
    pub id: SnapshotId,
    /// The name that the client gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The id of its sandbox, which may be gone.
    #[cfg_attr(feature = "schema", schemars(with = "crate::SandboxId"))]
    pub sandbox: String,
    /// The directory.
    pub dir: String,
    /// The bytes of all files.
    pub size: u64,
    /// The bytes that the archive takes in the store.
    pub stored_size: u64,
    /// The number of files, directories and links.
    pub files: u64,
    /// The SHA-256 of its tar, decompressed, in hex. A restore checks it.
    pub sha256: String,
    /// The time of its creation.
    #[cfg_attr(feature = "schema", schemars(with = "Time"))]
    pub created_at: String,
    /// The time at which it is deleted.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Time>"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Its content.
    pub kind: Kind,
    /// Whether `autoSave` made it: then the next one replaces it.
    pub auto_save: bool,
    /// The number of files that were changed while they were read, if there are any. Such a file
    /// may be neither the old nor the new one.
    #[serde(default, skip_serializing_if = "crate::json::is_zero")]
    pub changed: u64,
    /// The paths of the first of them, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_paths: Vec<String>,
    /// The result of the program `.sandbox/before-save`, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookResult>,
}

impl Kind {
    /// The name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Container => "container",
        }
    }
}

impl From<Manifest> for Snapshot {
    fn from(manifest: Manifest) -> Self {
        let contents = manifest.contents;
        Self {
            id: manifest.id,
            name: manifest.name,
            sandbox: manifest.sandbox,
            dir: manifest.dir,
            size: contents.bytes,
            stored_size: contents.archive_bytes,
            files: contents.files,
            sha256: contents.sha256,
            created_at: time::from_ms(manifest.created_ms),
            expires_at: manifest.expires_ms.map(time::from_ms),
            kind: match manifest.container {
                Some(_) => Kind::Container,
                None => Kind::Archive,
            },
            auto_save: manifest.is_auto_save,
            changed: contents.changed,
            changed_paths: contents.changed_paths,
            hook: contents.hook,
        }
    }
}

/// The answer of `GET /v1/snapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotPage {
    /// The snapshots, the newest first.
    pub snapshots: Vec<Snapshot>,
    /// The cursor of the next page. Absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
