//! `GET /process/{pid}/log`: what a process has written, and writes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use sandbox_protocol::event;
use sandbox_protocol::process::LogQuery;

use crate::Error;
use crate::exec::reader::Reader;
use crate::exec::{Commands, stream::response};
use crate::request_headers::{accepts, last_event_id};

/// Answers with the events of the log, or with the bytes of the output for a client that accepts
/// `text/plain`.
pub(super) async fn log(
    State(commands): State<Arc<Commands>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let process = commands.registry.find(&id)?;
    let last_event_id = last_event_id(&headers);
    let query = LogQuery::parse(uri.query().unwrap_or_default(), last_event_id.as_deref())?;
    let reader = if query.follow {
        Reader::follower(&process.log, query.since, query.stream)
    } else {
        Reader::present(&process.log, query.since, query.stream)
    };
    if accepts(&headers, "text/plain") && !accepts(&headers, event::CONTENT_TYPE) {
        return Ok(bytes(reader));
    }
    Ok(response(reader.into_body()))
}

/// The output itself. It has no place for a heartbeat, nor for a gap.
fn bytes(reader: Reader) -> Response {
    let output = stream::unfold(reader, async |mut reader| {
        let events = reader.next().await?;
        let mut output = Vec::new();
        for event in event::split(&events) {
            if event::stream_of(event).is_some() {
                event::decode_output(event, &mut output);
            }
        }
        Some((Ok::<_, Error>(Bytes::from(output)), reader))
    });
    let mut response = Response::new(Body::from_stream(output));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
