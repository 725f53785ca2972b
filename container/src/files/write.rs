//! `PUT`: a request's body as a file.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use sandbox_protocol::Invalid;
use sandbox_protocol::answer::Written;

use super::contain::Workspace;
use super::upload::Upload;
use super::{blocking, requested};
use crate::body;
use crate::error::Error;

/// How many bytes of an upload are held: a batch being received, and one being written.
const HELD: usize = 2 * body::BATCH;

/// Answers `PUT` with `{"ok":true}` once the whole body has replaced the file.
pub(super) async fn write(
    State(workspace): State<Arc<Workspace>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Written>, Error> {
    let mut upload = body::Upload::new(body, workspace.buffers.clone(), HELD);
    match store(workspace, &uri, &headers, &mut upload).await {
        Ok(()) => Ok(Json(Written::default())),
        Err(e) => {
            upload.refuse(&headers);
            Err(e)
        }
    }
}

async fn store(
    workspace: Arc<Workspace>,
    uri: &Uri,
    headers: &HeaderMap,
    upload: &mut body::Upload,
) -> Result<(), Error> {
    let path = requested(uri)?;
    if headers.contains_key(header::CONTENT_RANGE) {
        // Taken for the whole file, the part would destroy the rest (RFC 9110, section 14.5).
        return Err(Invalid::request("Content-Range is not supported: PUT the whole file").into());
    }
    upload.announced(headers)?;
    let mut file = blocking(Error::Write, move || Upload::create(&workspace, path)).await?;
    let mut batch = upload.next_batch().await?;
    while let Some(blocks) = batch {
        let writing = tokio::task::spawn_blocking(move || file.append(&blocks));
        let next = upload.next_batch().await;
        // First the file, so that one that fails here is gone before the client hears of it.
        file = writing.await.map_err(|e| Error::Write(io::Error::other(e)))??;
        batch = next?;
    }
    blocking(Error::Write, move || file.commit()).await
}
