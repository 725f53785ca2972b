//! JSON answers that may take long.
//!
//! A silent response is one that proxies and clients take for broken. And the runtime in front of
//! `sandboxd` notices that a client has left only when it writes. So an answer that takes longer
//! than [`INTERVAL`] begins early: with status 200 and a space, which JSON ignores, every
//! [`INTERVAL`]. A failure after that is the error's body, with status 200.

use std::pin::Pin;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use sandbox_protocol::event::KEEP_ALIVE_SECONDS;
use serde::Serialize;
use tokio::time::timeout;

use crate::Error;

/// The longest silence. A little less than what is promised, as a space takes time to arrive.
const INTERVAL: Duration = Duration::from_millis(KEEP_ALIVE_SECONDS * 1000 - 500);

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Answers with the result of `answer` as JSON. It is dropped when the client leaves.
pub async fn json<T: Serialize + 'static>(
    answer: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Response {
    let mut answer: Answer<T> = Box::pin(answer);
    if let Ok(result) = timeout(INTERVAL, &mut answer).await {
        return match result {
            Ok(value) => Json(value).into_response(),
            Err(e) => e.into_response(),
        };
    }
    let chunks = stream::unfold((Some(answer), false), async |(answer, is_begun)| {
        let mut answer = answer?;
        let space = Bytes::from_static(b" ");
        // The first space leaves at once.
        if !is_begun {
            return Some((Ok::<_, Error>(space), (Some(answer), true)));
        }
        match timeout(INTERVAL, &mut answer).await {
            Err(_) => Some((Ok(space), (Some(answer), true))),
            Ok(result) => Some((Ok(body(result).into()), (None, true))),
        }
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn body<T: Serialize>(result: Result<T, Error>) -> Vec<u8> {
    match result {
        Ok(value) => serde_json::to_vec(&value),
        Err(e) => serde_json::to_vec(&e.json()),
    }
    .unwrap_or_default()
}
