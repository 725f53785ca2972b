//! `PUT`: a request's body as a file.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse as _, Response};
use sandbox_protocol::answer::Written;
use sandbox_protocol::{Invalid, WriteOptions, sandboxd};

use super::blocking;
use super::preconditions::Preconditions;
use super::upload::{Upload, UploadRequest};
use super::validators::Validators;
use super::workspace::Workspace;
use crate::body;
use crate::error::Error;
use crate::off_runtime::OffRuntime;

/// The most bytes of an upload that are held: a batch being received, and one being written.
const HELD: usize = 2 * body::BATCH;

/// The most bytes of a body that is received before its file is opened: less than a batch.
const SMALL: u64 = 64 * 1024;

/// Answers `PUT` with `{"ok":true}` and the new `ETag` once the whole body is the file.
pub(super) async fn write(
    State(workspace): State<Arc<Workspace>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let mut upload = body::Upload::new(body, workspace.buffers.clone(), HELD);
    match store(workspace, &uri, &headers, &mut upload).await {
        Ok(validators) => {
            let mut response = Json(Written::default()).into_response();
            validators.write_etag_to(response.headers_mut());
            Ok(response)
        }
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
) -> Result<Validators, Error> {
    let request = UploadRequest {
        path: workspace.requested(uri, sandboxd::FILE)?,
        options: WriteOptions::from_query(uri.query().unwrap_or_default())?,
        preconditions: Preconditions::from_headers(headers),
    };
    if headers.contains_key(header::CONTENT_RANGE) {
        // Writing the part as if it were the whole file would destroy the rest (RFC 9110, section
        // 14.5).
        return Err(Invalid::request("Content-Range is not supported: PUT the whole file").into());
    }
    let length = upload.announced(headers)?;
    let create = move || Upload::create(workspace, request);
    if length.is_some_and(|length| length <= SMALL) {
        // One job for a small file: each takes a switch of threads.
        let mut blocks = Vec::new();
        while let Some(batch) = upload.next_batch().await? {
            blocks.extend(batch);
        }
        return blocking(Error::Write, move || create()?.write(&blocks)?.commit()).await;
    }
    let file = blocking(Error::Write, move || create().map(OffRuntime::new)).await?;
    let received = upload.next_batch().await;
    let (mut batch, mut file) = or_remove(received, file).await?;
    while let Some(blocks) = batch {
        let write = move || file.into_inner().write(&blocks).map(OffRuntime::new);
        let writing = tokio::task::spawn_blocking(write);
        let next = upload.next_batch().await;
        // Wait for the file first, so that one that fails here is removed before the client gets
        // the error.
        file = writing.await.map_err(|e| Error::Write(io::Error::other(e)))??;
        (batch, file) = or_remove(next, file).await?;
    }
    blocking(Error::Write, move || file.into_inner().commit()).await
}

/// Returns what was received and `file`; returns an error only after the file is removed.
async fn or_remove<T>(
    received: Result<T, Error>,
    file: OffRuntime<Upload>,
) -> Result<(T, OffRuntime<Upload>), Error> {
    match received {
        Ok(received) => Ok((received, file)),
        Err(e) => {
            // Fails when the runtime stops.
            let _ = tokio::task::spawn_blocking(move || drop(file.into_inner())).await;
            Err(e)
        }
    }
}
