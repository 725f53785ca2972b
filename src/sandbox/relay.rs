//! Hands a command's stream on, and ends it with an `error` event when it breaks off.
//!
//! The runtime pumps the bytes from one stream to the other by itself; this code runs once, at the end. A client that
//! leaves closes the readable side, and with it the connection to `sandboxd`.

use sandbox_protocol::{ErrorBody, ErrorCode, event};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, Response, StreamPipeOptions, TransformStream, WritableStream};

use crate::error::ApiError;
use crate::response;

#[wasm_bindgen]
extern "C" {
    /// The runtime's own byte stream: unlike a plain `TransformStream`, bytes pass it outside JavaScript.
    #[wasm_bindgen(extends = TransformStream)]
    type IdentityTransformStream;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<IdentityTransformStream, JsValue>;
}

/// The response to give in place of `upstream`, whose body is a command's stream. `broken` is called once if the
/// sandbox breaks that stream off.
pub fn relay(upstream: &Response, broken: impl FnOnce() + 'static) -> Result<Response, ApiError> {
    let Some(source) = upstream.body() else {
        return Err(ApiError::Internal("sandboxd sent a stream without a body".into()));
    };
    let pipe = IdentityTransformStream::new()?;
    let (readable, writable) = (pipe.readable(), pipe.writable());
    spawn_local(async move {
        // Telling the client fails when it was the client that left: then the sandbox is not to blame.
        if pump(&source, &writable).await.is_err() && break_off(&writable).await.is_ok() {
            broken();
        }
    });
    let init = response::init(upstream.status(), &upstream.headers());
    Ok(Response::new_with_opt_readable_stream_and_init(
        Some(&readable),
        &init,
    )?)
}

async fn pump(source: &ReadableStream, sink: &WritableStream) -> Result<(), JsValue> {
    let options = StreamPipeOptions::new();
    options.set_prevent_abort(true);
    JsFuture::from(source.pipe_to_with_options(sink, &options))
        .await
        .map(drop)
}

async fn break_off(sink: &WritableStream) -> Result<(), JsValue> {
    let error = ErrorBody::new(
        ErrorCode::ExecTransportError,
        "the connection to the sandbox was lost while the command ran; how it ended is not known",
    );
    let writer = sink.get_writer()?;
    let bytes = js_sys::Uint8Array::from(event::break_off(error).as_bytes());
    JsFuture::from(writer.write_with_chunk(&bytes)).await?;
    JsFuture::from(writer.close()).await.map(drop)
}
