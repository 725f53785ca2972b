//! Byte streams that the runtime pumps by itself, with something of ours after their end.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, StreamPipeOptions, TransformStream, WritableStream};

#[wasm_bindgen]
extern "C" {
    /// The runtime's own byte stream: unlike a plain `TransformStream`, bytes pass it outside JavaScript.
    #[wasm_bindgen(extends = TransformStream)]
    type IdentityTransformStream;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<IdentityTransformStream, JsValue>;

    /// The same, of known length: it breaks when it is not.
    #[wasm_bindgen(extends = TransformStream)]
    type FixedLengthStream;

    #[wasm_bindgen(constructor, catch)]
    fn new(length: f64) -> Result<FixedLengthStream, JsValue>;
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

/// The same bytes and the same end, whichever it is, by a stream of the runtime's own, which says how long it is if that is
/// known.
pub fn pass_on(source: ReadableStream, length: Option<u64>) -> Result<ReadableStream, JsValue> {
    let pipe: TransformStream = match length {
        Some(length) => FixedLengthStream::new(length as f64)?.into(),
        None => IdentityTransformStream::new()?.into(),
    };
    let sink = pipe.writable();
    spawn_local(async move {
        // What breaks it breaks the other end, too, and is told there. A reader that left is no error of ours.
        let _ = JsFuture::from(source.pipe_to(&sink)).await;
    });
    Ok(pipe.readable())
}

/// Writes the last bytes and closes. Fails when the reader has left.
pub async fn finish(sink: &WritableStream, bytes: &[u8]) -> Result<(), JsValue> {
    let writer = sink.get_writer()?;
    JsFuture::from(writer.write_with_chunk(&js_sys::Uint8Array::from(bytes))).await?;
    JsFuture::from(writer.close()).await.map(drop)
}
