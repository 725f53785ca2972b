//! JSON answers of an object that may take long: as in `sandboxd`, such an answer begins early, with
//! status 200 and spaces, which JSON ignores. An error after that is the body.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, select};
use js_sys::Uint8Array;
use sandbox_protocol::event::KEEP_ALIVE_SECONDS;
use serde::Serialize;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Headers, Response, WritableStream};
use worker::Delay;

use crate::error::ApiError;
use crate::{response, stream};

/// The longest silence. A little less than what is promised, as a space takes time to arrive.
const INTERVAL: Duration = Duration::from_millis(KEEP_ALIVE_SECONDS * 1000 - 500);

/// Answers with the result of `answer`, which goes on when the client has left.
pub async fn json<T: Serialize + 'static>(
    answer: impl Future<Output = Result<T, ApiError>> + 'static,
) -> Result<Response, ApiError> {
    let answer: LocalBoxFuture<'static, _> = answer.boxed_local();
    let mut answer = match select(answer, Delay::from(INTERVAL)).await {
        Either::Left((result, _)) => return response::json(200, &result?),
        Either::Right(((), answer)) => answer,
    };
    let (readable, sink) = stream::pipe(None)?;
    spawn_local(async move {
        let result = loop {
            // Fails when the client has left.
            let _ = write_space(&sink).await;
            match select(answer, Delay::from(INTERVAL)).await {
                Either::Left((result, _)) => break result,
                Either::Right(((), rest)) => answer = rest,
            }
        };
        let body = match &result {
            Ok(value) => serde_json::to_string(value),
            Err(e) => serde_json::to_string(&e.body()),
        };
        let _ = stream::finish(&sink, body.unwrap_or_default().as_bytes()).await;
    });
    let headers = Headers::new()?;
    headers.set("content-type", "application/json")?;
    Ok(response::streamed(200, &headers, Some(&readable))?)
}

async fn write_space(sink: &WritableStream) -> Result<(), JsValue> {
    let writer = sink.get_writer()?;
    let written = JsFuture::from(writer.write_with_chunk(&Uint8Array::from(&b" "[..]))).await;
    writer.release_lock();
    written.map(drop)
}
