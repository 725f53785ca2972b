//! Byte streams that the runtime forwards without this code, with bytes of the Worker appended
//! after their end.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, StreamPipeOptions, TransformStream, WritableStream};

#[wasm_bindgen]
extern "C" {
    /// The runtime's own byte stream: unlike a plain `TransformStream`, bytes pass it outside
    /// JavaScript.
    #[wasm_bindgen(extends = TransformStream)]
    type IdentityTransformStream;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> Result<IdentityTransformStream, JsValue>;

    /// The same, of known length: it errors when the bytes do not have this length.
    #[wasm_bindgen(extends = TransformStream)]
    type FixedLengthStream;

    #[wasm_bindgen(constructor, catch)]
    fn new(length: f64) -> Result<FixedLengthStream, JsValue>;
}

/// The kind of a body, which decides what happens to one end of its stream when the other ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// At its end, the sink stays open; when the source errors, the sink errors, too. When the
    /// reader of the sink leaves, the source can be read on.
    Request,
    /// At its end, the sink is closed; when the source errors, the sink is left as it is. When the
    /// reader of the sink leaves, the source is canceled.
    Response,
}

/// Creates a pipe: bytes written to the second end are read from the first. It has a length if that
/// is known.
pub fn pipe(length: Option<u64>) -> Result<(ReadableStream, WritableStream), JsValue> {
    let pipe: TransformStream = match length {
        Some(length) => FixedLengthStream::new(length as f64)?.into(),
        None => IdentityTransformStream::new()?.into(),
    };
    Ok((pipe.readable(), pipe.writable()))
}

/// Forwards all bytes of `source` to `sink`. The error is that of the source, or of a reader that
/// left.
pub async fn pipe_to(source: &ReadableStream, sink: &WritableStream, kind: BodyKind) -> Result<(), JsValue> {
    let options = StreamPipeOptions::new();
    options.set_prevent_abort(kind == BodyKind::Response);
    options.set_prevent_close(kind == BodyKind::Request);
    options.set_prevent_cancel(kind == BodyKind::Request);
    JsFuture::from(source.pipe_to_with_options(sink, &options))
        .await
        .map(drop)
}

/// Forwards `source`, with its end or error, through a stream of the runtime, which has a length if
/// that is known.
pub fn pipe_through(source: ReadableStream, length: Option<u64>) -> Result<ReadableStream, JsValue> {
    let (readable, sink) = pipe(length)?;
    spawn_local(async move {
        // An error of it reaches the other end, and is reported there. A reader that left is no
        // error here.
        let _ = JsFuture::from(source.pipe_to(&sink)).await;
    });
    Ok(readable)
}

/// Writes the last bytes, if there are any, and closes. Fails when the reader has left.
pub async fn finish(sink: &WritableStream, bytes: &[u8]) -> Result<(), JsValue> {
    let writer = sink.get_writer()?;
    if !bytes.is_empty() {
        JsFuture::from(writer.write_with_chunk(&js_sys::Uint8Array::from(bytes))).await?;
    }
    JsFuture::from(writer.close()).await.map(drop)
}
