//! `PUT`: a request's body as a file.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use bytes::Bytes;
use futures_util::StreamExt;
use sandbox_protocol::{Invalid, sandboxd};
use serde_json::{Value, json};

use super::contain::Workspace;
use super::upload::Upload;
use super::{blocking, requested};
use crate::body;
use crate::error::Error;

/// A batch is written once it has so many bytes. An upload holds two: one being received, one being written.
const BATCH: usize = 1024 * 1024;

/// The most blocks of a batch, so that a body of tiny blocks takes no more memory than one of large ones.
const BATCH_BLOCKS: usize = 256;

/// Answers `PUT` with `{"ok":true}` once the whole body has replaced the file.
pub(super) async fn write(
    State(workspace): State<Arc<Workspace>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Error> {
    let mut incoming = Incoming {
        body: body.into_data_stream(),
        received: 0,
        limit: u64::MAX,
        mark: 0,
        ended: false,
    };
    match store(workspace, &uri, &headers, &mut incoming).await {
        Ok(()) => Ok(Json(json!({ "ok": true }))),
        Err(e) => {
            body::linger(&headers, incoming.body);
            Err(e)
        }
    }
}

async fn store(
    workspace: Arc<Workspace>,
    uri: &Uri,
    headers: &HeaderMap,
    incoming: &mut Incoming,
) -> Result<(), Error> {
    let path = requested(uri)?;
    if headers.contains_key(header::CONTENT_RANGE) {
        // Taken for the whole file, the part would destroy the rest (RFC 9110, section 14.5).
        return Err(Invalid::request("Content-Range is not supported: PUT the whole file").into());
    }
    let mark = headers.get(sandboxd::END_MARK_HEADER).cloned();
    if let Some(limit) = number(headers, HeaderName::from_static(sandboxd::MAX_UPLOAD_HEADER))? {
        incoming.limit = limit;
        incoming.mark = mark.as_ref().map_or(0, |mark| mark.len() as u64);
    }
    if number(headers, header::CONTENT_LENGTH)?.is_some_and(|length| length > incoming.limit) {
        return Err(Error::TooLarge {
            limit: incoming.limit,
        });
    }
    let mut upload = blocking(Error::Write, move || Upload::create(&workspace, path)).await?;
    let mut batch = incoming.next_batch().await?;
    while !incoming.ended {
        let writing = tokio::task::spawn_blocking(move || upload.append(&batch));
        let next = incoming.next_batch().await;
        // First the upload, so that one that fails here is gone before the client hears of it.
        upload = writing.await.map_err(|e| Error::Write(io::Error::other(e)))??;
        batch = next?;
    }
    blocking(Error::Write, move || {
        let upload = upload.append(&batch)?;
        match mark {
            Some(mark) => upload.take_end_mark(mark.as_bytes())?.commit(),
            None => upload.commit(),
        }
    })
    .await
}

fn number(headers: &HeaderMap, name: HeaderName) -> Result<Option<u64>, Invalid> {
    let Some(value) = headers.get(&name) else {
        return Ok(None);
    };
    match value.to_str().map(str::parse) {
        Ok(Ok(number)) => Ok(Some(number)),
        _ => Err(Invalid::request(format!("{name} must be a number of bytes"))),
    }
}

/// The body of an upload.
struct Incoming {
    body: BodyDataStream,
    received: u64,
    /// The most bytes that the file may have.
    limit: u64,
    /// The bytes of the end mark, which come on top.
    mark: u64,
    ended: bool,
}

impl Incoming {
    /// The next bytes, about [`BATCH`] of them. Sets `ended` with the last.
    async fn next_batch(&mut self) -> Result<Vec<Bytes>, Error> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH && batch.len() < BATCH_BLOCKS {
            let Some(block) = self.body.next().await else {
                self.ended = true;
                break;
            };
            let block = block.map_err(|e| Invalid::request(format!("the upload broke off: {e}")))?;
            self.received += block.len() as u64;
            if self.received > self.limit.saturating_add(self.mark) {
                return Err(Error::TooLarge { limit: self.limit });
            }
            bytes += block.len();
            batch.push(block);
        }
        Ok(batch)
    }
}
