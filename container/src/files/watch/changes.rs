//! `GET /changes/{path}`: the paths that have changed since a version, which is an id of the watch's log.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use sandbox_protocol::file::{ChangeStatus, Changes, changes_since};
use sandbox_protocol::sandboxd;

use super::Watches;
use super::log::Record;
use crate::error::Error;
use crate::files::workspace::Workspace;

/// The most paths of an answer about changes.
const MAX_PATHS: usize = 1000;

/// Answers with what has changed since a version.
pub(in crate::files) async fn changes(
    State(workspace): State<Arc<Workspace>>,
    uri: Uri,
) -> Result<Json<Changes>, Error> {
    let path = workspace.requested(&uri, sandboxd::CHANGES)?;
    let since = changes_since(uri.query().unwrap_or_default())?;
    let client = Watches::client(&workspace, path, true).await?;
    client.drain().await;
    let log = client.log();
    let answer = |status, paths| {
        Ok(Json(Changes {
            status,
            version: log.last_id().to_string(),
            paths,
        }))
    };
    let Some(since) = since else {
        return answer(ChangeStatus::Resync, None);
    };
    let (last, events) = match log.events_after(since) {
        Some(behind) => behind,
        None => return answer(ChangeStatus::Resync, None),
    };
    let mut paths = BTreeSet::new();
    for (_, record) in events {
        match record {
            Record::Overflow => return answer(ChangeStatus::Resync, None),
            Record::Event(_, event) => {
                paths.extend(event.from);
                paths.insert(event.path);
            }
        }
    }
    let status = match paths.is_empty() {
        true => ChangeStatus::Unchanged,
        false => ChangeStatus::Changed,
    };
    let is_listed = !paths.is_empty() && paths.len() <= MAX_PATHS;
    Ok(Json(Changes {
        status,
        version: last.to_string(),
        paths: is_listed.then(|| paths.into_iter().collect()),
    }))
}
