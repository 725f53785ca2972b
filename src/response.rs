//! Responses that the Worker and the Durable Objects create themselves.

use sandbox_protocol::error::ERROR_HEADER;
use serde::Serialize;
use wasm_bindgen::JsValue;
use web_sys::{Headers, ReadableStream, Response, ResponseInit};

use crate::error::ApiError;

/// A response of text of this media type.
pub fn text(media_type: &str, text: &str) -> Result<Response, ApiError> {
    let headers = Headers::new()?;
    headers.set("content-type", media_type)?;
    Ok(Response::new_with_opt_str_and_init(
        Some(text),
        &init(200, &headers),
    )?)
}

/// A JSON response.
pub fn json(status: u16, body: &impl Serialize) -> Result<Response, ApiError> {
    let headers = Headers::new()?;
    headers.set("content-type", "application/json")?;
    let text = serde_json::to_string(body)?;
    Ok(Response::new_with_opt_str_and_init(
        Some(&text),
        &init(status, &headers),
    )?)
}

/// A response without a body.
pub fn empty(status: u16) -> Result<Response, ApiError> {
    Ok(Response::new_with_opt_str_and_init(
        None,
        &init(status, &Headers::new()?),
    )?)
}

/// A response whose body is a stream; `None`: without a body.
pub fn streamed(status: u16, headers: &Headers, body: Option<&ReadableStream>) -> Result<Response, JsValue> {
    Response::new_with_opt_readable_stream_and_init(body, &init(status, headers))
}

/// The JSON form of an error, with the headers that go with it.
pub fn error(error: &ApiError) -> Result<Response, ApiError> {
    let response = json(error.parts().0, &error.body())?;
    if let Some((name, value)) = error.header() {
        response.headers().set(name, &value)?;
    }
    if let Some(seconds) = error.retry_after_seconds(js_sys::Math::random()) {
        response.headers().set("retry-after", &seconds.to_string())?;
    }
    Ok(response)
}

/// The form of an error where the answers of a server of the sandbox go the same way: it has the
/// header [`ERROR_HEADER`].
pub fn error_beside_server(error: &ApiError) -> Result<Response, ApiError> {
    let response = self::error(error)?;
    response
        .headers()
        .set(ERROR_HEADER, &error.parts().1.to_string())?;
    Ok(response)
}

/// The return value of a Durable Object's handler: the response, or the JSON form of its error.
pub fn object_response(result: Result<Response, ApiError>) -> worker::Result<worker::Response> {
    let response = result.or_else(|e| error(&e)).map_err(|e| e.body().error)?;
    Ok(worker::Response::from(response))
}

/// The status line and headers of a response.
pub fn init(status: u16, headers: &Headers) -> ResponseInit {
    let init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(headers);
    init
}
