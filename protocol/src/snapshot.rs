//! Snapshots: a directory of a sandbox, stored outside of it.
//!
//! A snapshot is two objects of the store: the [archive], and the [`Manifest`]. The manifest is
//! written last, so that a snapshot whose archive is not whole does not exist.
//!
//! [archive]: index

mod id;
mod index;
mod manifest;
mod request;
mod save;
#[cfg(feature = "schema")]
pub(crate) mod schema;

pub use id::SnapshotId;
pub use index::{CONTENTS_MAGIC, FRAME_BYTES, INDEX_MAGIC, IndexEntry, IndexKind};
pub use manifest::{ContainerSnapshot, Kind, Manifest, Restoration, Snapshot, SnapshotPage};
pub use request::{
    AutoSave, DEFAULT_COUNT, ForkItem, ForkRequest, ForkResult, ForkSource, ListQuery, MAX_COUNT,
    RestoreRequest, SnapshotRequest,
};
pub use save::{
    Contents, HookResult, RestoreQuery, Restored, Resume, SaveRequest, SaveStarted, part_url, save_url,
};

/// The largest body of a request about snapshots, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The size of a part of an archive in bytes, the last part aside. Stores take parts of 5 MiB or
/// more.
pub const PART_BYTES: u64 = 8 * 1024 * 1024;

/// The number of parts that `sandboxd` keeps for a save: the maximum that can be on their way to the
/// store at a time, and be sent again.
pub const PARTS_KEPT: u32 = 3;

/// Response header of `sandboxd` on the last part of an archive: `true`.
pub const LAST_PART_HEADER: &str = "sandbox-last-part";

/// Response header of a request that waited for a start: the id of the snapshot that it restored.
pub const RESTORED_HEADER: &str = "sandbox-restored";

/// Response header beside it: the [`Kind`] of what was restored.
pub const RESTORED_KIND_HEADER: &str = "sandbox-restored-kind";

/// Response header of a request for files that was answered without its sandbox: `true`.
pub const ASLEEP_HEADER: &str = "sandbox-asleep";

/// Response header of a DELETE with `save=true`: the id of the snapshot.
pub const SAVED_HEADER: &str = "sandbox-saved";
