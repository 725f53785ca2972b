//! Headers of requests that several routes read.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use sandbox_protocol::process::LAST_EVENT_ID_HEADER;

/// Whether the client names this media type among those that it accepts.
pub fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    let mut kinds = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    kinds.any(|found| {
        let found = found.split(';').next().unwrap_or_default();
        found.trim().eq_ignore_ascii_case(kind)
    })
}

/// The header `Last-Event-ID`, not parsed yet.
pub fn last_event_id(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let id = headers.get(LAST_EVENT_ID_HEADER)?;
    Some(String::from_utf8_lossy(id.as_bytes()))
}
