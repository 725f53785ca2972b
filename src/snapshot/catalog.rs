//! The manifests in the store: written, read, listed, deleted.

use futures_util::StreamExt as _;
use futures_util::stream;
use sandbox_protocol::snapshot::{Manifest, Snapshot, SnapshotPage};
use sandbox_protocol::{SandboxId, SnapshotId, snapshot};

use super::{Store, archive_key};
use crate::error::ApiError;

/// The number of requests to the store at a time: the platform takes six for each request.
const PARALLEL: usize = 6;

/// The most snapshots that one run of the cron deletes.
const MAX_EXPIRED: usize = 100;

const MANIFESTS: &str = "snapshots/manifest/";
const EXPIRIES: &str = "snapshots/expiry/";

fn manifest_key(id: &SnapshotId) -> String {
    format!("{MANIFESTS}{id}.json")
}

fn sandbox_prefix(sandbox: &str) -> String {
    format!("snapshots/of/{sandbox}/")
}

/// The time in the key of an expiry: times sort as these do.
fn expiry_prefix(ms: u64) -> String {
    format!("{EXPIRIES}{ms:015}/")
}

/// The id at the end of a key.
fn id_in(key: &str) -> Option<SnapshotId> {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    SnapshotId::parse(name.trim_end_matches(".json")).ok()
}

/// Makes the snapshot exist: writes its manifest, after the objects by which it is found.
pub async fn put_manifest(store: &Store, manifest: &Manifest) -> Result<(), ApiError> {
    let id = &manifest.id;
    if let Some(ms) = manifest.expires_ms {
        store.put_text(&format!("{}{id}", expiry_prefix(ms)), "").await?;
    }
    let of = format!("{}{id}", sandbox_prefix(&manifest.sandbox));
    store.put_text(&of, "").await?;
    let json = serde_json::to_string(manifest)?;
    store.put_text(&manifest_key(id), &json).await
}

/// The manifest of a snapshot that exists and has not expired at `now_ms`. Error: 404, also for one that
/// cannot be read: a store that lost power can have lost what it has.
pub async fn manifest(store: &Store, id: &SnapshotId, now_ms: u64) -> Result<Manifest, ApiError> {
    let json = store.text(&manifest_key(id)).await?;
    let manifest: Option<Manifest> = json.and_then(|json| serde_json::from_str(&json).ok());
    manifest
        .filter(|manifest| manifest.expires_ms.is_none_or(|ms| ms > now_ms))
        .ok_or_else(|| ApiError::SnapshotNotFound(id.clone()))
}

/// A page of the snapshots, the newest first.
pub async fn list(store: &Store, query: &snapshot::ListQuery, now_ms: u64) -> Result<SnapshotPage, ApiError> {
    let prefix = query
        .sandbox
        .as_ref()
        .map(|id: &SandboxId| sandbox_prefix(id.as_str()));
    let prefix = prefix.as_deref().unwrap_or(MANIFESTS);
    // A key of the manifests has a suffix, which sorts after the end of the id.
    let after = query.cursor.as_ref().map(|cursor| format!("{prefix}{cursor}~"));
    let (keys, is_truncated) = store.list(prefix, after.as_deref(), query.limit).await?;
    let ids: Vec<SnapshotId> = keys.iter().filter_map(|key| id_in(key)).collect();
    let last = ids.last().map(SnapshotId::to_string);
    let manifests: Vec<Result<Manifest, ApiError>> = stream::iter(ids)
        .map(async |id| manifest(store, &id, now_ms).await)
        .buffered(PARALLEL)
        .collect()
        .await;
    let mut snapshots = Vec::new();
    for manifest in manifests {
        match manifest {
            Ok(manifest) => snapshots.push(Snapshot::from(manifest)),
            // It was deleted meanwhile, or is about to be.
            Err(ApiError::SnapshotNotFound(_)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(SnapshotPage {
        snapshots,
        cursor: last.filter(|_| is_truncated),
    })
}

/// Deletes a snapshot. Error: 404 when there is none.
pub async fn delete(store: &Store, id: &SnapshotId) -> Result<(), ApiError> {
    // One that has expired is deleted, too.
    let manifest = match manifest(store, id, 0).await {
        Err(e @ ApiError::SnapshotNotFound(_)) => {
            // A deletion that failed half-way has left the archive. The manifest may not be readable.
            store.delete(&manifest_key(id)).await?;
            store.delete(&archive_key(id)).await?;
            return Err(e);
        }
        manifest => manifest?,
    };
    store.delete(&manifest_key(id)).await?;
    store.delete(&archive_key(id)).await?;
    store
        .delete(&format!("{}{id}", sandbox_prefix(&manifest.sandbox)))
        .await?;
    match manifest.expires_ms {
        Some(ms) => store.delete(&format!("{}{id}", expiry_prefix(ms))).await,
        None => Ok(()),
    }
}

/// Deletes the snapshots whose time is over. Returns how many.
pub async fn delete_expired(store: &Store, now_ms: u64) -> Result<usize, ApiError> {
    let (keys, _) = store.list(EXPIRIES, None, MAX_EXPIRED).await?;
    let end = expiry_prefix(now_ms);
    let mut count = 0;
    for key in keys.iter().filter(|key| **key < end) {
        if let Some(id) = id_in(key) {
            match delete(store, &id).await {
                Ok(()) => count += 1,
                // Its save did not end, or it was deleted: nothing but parts of it is left.
                Err(ApiError::SnapshotNotFound(_)) => store.delete(&archive_key(&id)).await?,
                Err(e) => return Err(e),
            }
        }
        store.delete(key).await?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_earlier_expiries_sort_first_and_have_the_id() {
        let id = SnapshotId::new(5, [3; 16]);
        let keys = [0, 9, 10, 1_764_500_000_000, 99_999_999_999_999].map(expiry_prefix);
        assert!(keys.is_sorted());
        assert_eq!(id_in(&format!("{}{id}", expiry_prefix(9))), Some(id.clone()));
        assert_eq!(id_in(&manifest_key(&id)), Some(id));
        assert_eq!(id_in("snapshots/manifest/x.json"), None);
    }
}
