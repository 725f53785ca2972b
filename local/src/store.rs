//! A store of snapshots on this machine's disk: the part of S3 that the Worker uses for them, in the
//! place of R2. A process of its own serves it, so that no sandbox waits for it.
//!
//! | request, below the URL with the secret | answer |
//! | --- | --- |
//! | `GET /{bucket}?list-type=2&prefix=&start-after=&max-keys=` | 200 with the keys, as XML |
//! | `PUT /{bucket}/{key}` | 200 once the whole body is the object |
//! | `GET /{bucket}/{key}`, with or without a `Range` | 200 or 206 with the object, 404, 416 |
//! | `DELETE /{bucket}/{key}` | 204, whether or not there was one |
//! | `POST /{bucket}/{key}?uploads` | 200 with the id of an upload, as XML |
//! | `PUT /{bucket}/{key}?partNumber=&uploadId=` | 200 once the part is written |
//! | `POST /{bucket}/{key}?uploadId=` | 200 once the parts are the object |
//! | `DELETE /{bucket}/{key}?uploadId=` | 204; the upload is gone |
//!
//! All parts of an upload but the last have the same size, as R2 demands. A part is written at its
//! place in one file, and a rename makes the file the object.

mod disk;
mod request;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;

pub use disk::Disk;
pub use request::{Key, StoreError};

use request::{Operation, Range};

/// Answers the requests below `/{secret}`; all other paths are 404.
pub fn router(disk: Disk, secret: &str) -> Router {
    let calls = Router::new()
        .route("/{bucket}", any(list))
        .route("/{bucket}/{*key}", any(object));
    Router::new()
        .nest(&format!("/{secret}"), calls)
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(Arc::new(disk))
}

async fn list(State(disk): State<Arc<Disk>>, RawQuery(query): RawQuery) -> Result<Response, StoreError> {
    let query = request::ListQuery::parse(query.as_deref().unwrap_or_default())?;
    let (keys, is_truncated) = disk.list(query).await?;
    Ok(xml(&request::list_answer(&keys, is_truncated)))
}

async fn object(
    State(disk): State<Arc<Disk>>,
    Path((_, key)): Path<(String, String)>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, StoreError> {
    let key = Key::parse(&key)?;
    match Operation::parse(&method, query.as_deref().unwrap_or_default())? {
        Operation::Put => {
            disk.put(&key, body).await?;
            Ok(written())
        }
        Operation::Get => get(&disk, &key, &headers).await,
        Operation::Delete => {
            disk.delete(&key).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Operation::CreateUpload => {
            let upload = disk.create_upload(&key).await?;
            Ok(xml(&format!(
                "<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )))
        }
        Operation::UploadPart(upload, number) => {
            disk.write_part(&upload, number, body).await?;
            Ok(written())
        }
        Operation::CompleteUpload(upload) => {
            disk.complete(&key, &upload).await?;
            Ok(xml(
                "<CompleteMultipartUploadResult><ETag>\"0\"</ETag></CompleteMultipartUploadResult>",
            ))
        }
        Operation::AbortUpload(upload) => {
            disk.abort(&upload).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}

async fn get(disk: &Disk, key: &Key, headers: &HeaderMap) -> Result<Response, StoreError> {
    let range = headers.get(header::RANGE).map(Range::parse).transpose()?;
    let (body, size, part) = disk.read(key, range).await?;
    let length = [(header::CONTENT_LENGTH, (part.end - part.start).to_string())];
    if range.is_none() {
        return Ok((length, body).into_response());
    }
    let content_range = format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1));
    let headers = (length, [(header::CONTENT_RANGE, content_range)]);
    Ok((StatusCode::PARTIAL_CONTENT, headers, body).into_response())
}

/// The answer to a write. Every write replaces the whole object, so nobody compares entity tags.
fn written() -> Response {
    [(header::ETAG, "\"0\"")].into_response()
}

fn xml(text: &str) -> Response {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}");
    ([(header::CONTENT_TYPE, "application/xml")], text).into_response()
}
