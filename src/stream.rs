//! Byte streams that the runtime pumps by itself, with something of ours after their end.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, StreamPipeOptions, TransformStream, WritableStream};

#[wasm_bindgen]
extern "C" {
    /// The runtime's own byte stream: unlike a plain `TransformStream`, bytes pass it outside JavaScript.
    #[wasm_bindgen(extends = TransformStream)]
    type IdentityTransformStream;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<IdentityTransformStream, JsValue>;
}

/// What becomes of the sink when the source ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtTheEnd {
    /// It is closed; when the source breaks, it is left as it is.
    Close,
    /// It stays open; when the source breaks, it breaks too.
    StayOpen,
}

/// Two ends: what is written to the second is read from the first.
pub fn pipe() -> Result<(ReadableStream, WritableStream), JsValue> {
    let pipe = IdentityTransformStream::new()?;
    Ok((pipe.readable(), pipe.writable()))
}

/// Moves all bytes of `source` to `sink`. The error is that of the source, or of a reader that left.
pub async fn pump(source: &ReadableStream, sink: &WritableStream, end: AtTheEnd) -> Result<(), JsValue> {
    let options = StreamPipeOptions::new();
    options.set_prevent_abort(end == AtTheEnd::Close);
    options.set_prevent_close(end == AtTheEnd::StayOpen);
    JsFuture::from(source.pipe_to_with_options(sink, &options))
        .await
        .map(drop)
}

/// Moves all bytes of `source` to `sink`, and its end, whichever it is.
pub async fn pass_on(source: &ReadableStream, sink: &WritableStream) -> Result<(), JsValue> {
    JsFuture::from(source.pipe_to(sink)).await.map(drop)
}

/// Writes the last bytes and closes. Fails when the reader has left.
pub async fn finish(sink: &WritableStream, bytes: &[u8]) -> Result<(), JsValue> {
    let writer = sink.get_writer()?;
    JsFuture::from(writer.write_with_chunk(&js_sys::Uint8Array::from(bytes))).await?;
    JsFuture::from(writer.close()).await.map(drop)
}
