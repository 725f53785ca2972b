//! Snapshots in their store: the objects that a snapshot consists of, their names, and lists of them.
//!
//! | object | content |
//! | --- | --- |
//! | `snapshots/archive/{id}.tar.zst` | the archive, as `sandboxd` writes it |
//! | `snapshots/expiry/{time}/{id}` | empty; for a snapshot with a `ttl`, written before its manifest |
//! | `snapshots/manifest/{id}.json` | the [`Manifest`](sandbox_protocol::snapshot::Manifest), written last |
//! | `snapshots/of/{sandbox}/{id}` | empty; the list of a sandbox's snapshots |
//!
//! A snapshot exists as soon as its manifest does, and until it is deleted, which is done first. The
//! names of newer snapshots sort before those of older ones, so a list of the store is a list of
//! snapshots.

mod catalog;
pub mod index;
pub mod store;

pub use catalog::{delete, delete_expired, list, manifest, put_manifest};
pub use store::{Store, Upload};

use sandbox_protocol::SnapshotId;

/// The key of the archive of a snapshot.
pub fn archive_key(id: &SnapshotId) -> String {
    format!("snapshots/archive/{id}.tar.zst")
}
