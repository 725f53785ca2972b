//! The routes of saves.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sandbox_protocol::limits::Limit;
use sandbox_protocol::snapshot::{Contents, LAST_PART_HEADER, MAX_BODY, SaveRequest, SaveStarted};
use sandbox_protocol::{FilePath, Invalid, workspace_path};
use tokio::sync::OwnedSemaphorePermit;

use super::Snapshots;
use super::save::{Begun, Save};
use crate::error::Error;
use crate::random::random_id;
use crate::to_its_end::to_its_end;
use crate::{body, malloc};

/// Answers `POST` with the id of the save once the directory is listed.
pub(super) async fn save(
    State(snapshots): State<Arc<Snapshots>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SaveStarted>, Error> {
    let archives = &snapshots.archives;
    let (body, _permit) = body::read(&headers, body, MAX_BODY, &archives.buffers).await?;
    let request: SaveRequest =
        serde_json::from_slice(&body).map_err(|e| Invalid::request(format!("the body of a save: {e}")))?;
    let dir = FilePath::parse("dir", &request.dir, &archives.file_roots)?;
    let exclusive = snapshots.exclusive().await?;
    let has_hook = dir.as_str() == workspace_path::WORKSPACE;
    // To its end, also when the request is gone: it is ended with its whole tree, and nothing else is saved
    // meanwhile.
    let hook = {
        let snapshots = Arc::clone(&snapshots);
        to_its_end(Error::Snapshot, async move {
            let result = match has_hook {
                true => snapshots.run_hook().await,
                false => None,
            };
            Ok((result, exclusive))
        })
    };
    let (hook, exclusive) = hook.await?;
    let begun = {
        let snapshots = Arc::clone(&snapshots);
        tokio::task::spawn_blocking(move || Begun::list(&snapshots, &dir, &request, hook))
    };
    let begun = begun.await.map_err(|e| Error::Snapshot(e.to_string()))??;
    let Some(begun) = begun else {
        return Ok(Json(SaveStarted::default()));
    };
    let id = random_id().map_err(|e| Error::Snapshot(e.to_string()))?;
    let save = begun.start(archives, id.clone(), exclusive)?;
    *snapshots.current() = Some(Arc::clone(&save));
    let idle = Duration::from_millis(snapshots.limits.save_idle_ms.value);
    let idle = save.idle(idle);
    let ended = id.clone();
    tokio::spawn(async move {
        idle.await;
        snapshots.end(&ended, "nothing was asked of it for too long");
    });
    Ok(Json(SaveStarted { save: Some(id) }))
}

/// Answers `GET` with a part, once it is complete.
pub(super) async fn part(
    State(snapshots): State<Arc<Snapshots>>,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Error> {
    let number = number
        .parse()
        .map_err(|_| Invalid::request("the number of a part is a number"))?;
    let asked = snapshots.find(&id)?.asked();
    let (part, is_last) = asked.save().parts.get(number).await?;
    let length = HeaderValue::from(part.len());
    let mut response = body::holding(part.into(), asked).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length);
    if is_last {
        headers.insert(
            HeaderName::from_static(LAST_PART_HEADER),
            HeaderValue::from_static("true"),
        );
    }
    Ok(response)
}

/// Answers `GET` with the contents, once the archive is complete.
pub(super) async fn contents(
    State(snapshots): State<Arc<Snapshots>>,
    Path(id): Path<String>,
) -> Result<Json<Contents>, Error> {
    let asked = snapshots.find(&id)?.asked();
    let contents = asked.save().parts.contents().await?;
    Ok(Json(Contents::clone(&contents)))
}

/// Ends a save, if there is one with this id.
pub(super) async fn end(State(snapshots): State<Arc<Snapshots>>, Path(id): Path<String>) -> StatusCode {
    snapshots.end(&id, "the save was ended");
    StatusCode::NO_CONTENT
}

impl Snapshots {
    /// Ends a save that is under way, and waits for a restore. The Sandbox object makes one of them at
    /// a time, so an open save is that of an object that was evicted. Error: 503 when a restore lasts for
    /// longer than a save that nobody asks anything of.
    pub(super) async fn exclusive(&self) -> Result<OwnedSemaphorePermit, Error> {
        let open = self.current().as_ref().map(|save| save.id.clone());
        if let Some(id) = open {
            self.end(&id, "another save or a restore has begun");
        }
        let limit = self.limits.save_idle_ms;
        let waits = tokio::time::timeout(
            Duration::from_millis(limit.value),
            Arc::clone(&self.one_at_a_time).acquire_owned(),
        );
        match waits.await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Error::Limit {
                what: "saves and restores at a time",
                limit: Limit {
                    name: "fixed",
                    value: 1,
                },
            }),
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Save>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Result<Arc<Save>, Error> {
        let current = self.current();
        let found = current.as_ref().filter(|save| save.id == id);
        found
            .map(Arc::clone)
            .ok_or_else(|| Error::Snapshot(format!("the save {id} has ended")))
    }

    fn end(&self, id: &str, why: &str) {
        let ended = self.current().take_if(|save| save.id == id);
        if let Some(save) = ended {
            save.parts.abandon(why);
            malloc::release_later();
        }
    }
}
