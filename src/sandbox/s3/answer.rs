//! Responses to s3fs.

use sandbox_protocol::s3::PROBE_LENGTH;
use web_sys::{Headers, Response};

use crate::response;
use crate::s3::S3Error;
use crate::s3::xml::Xml;

type Answer = Result<Response, S3Error>;

/// A response with XML.
pub fn xml(status: u16, text: &str) -> Answer {
    let headers = Headers::new()?;
    headers.set("content-type", "application/xml")?;
    let init = response::init(status, &headers);
    Ok(Response::new_with_opt_str_and_init(Some(text), &init)?)
}

/// An error. The runtime leaves its body out of the response to a `HEAD`.
pub fn error(e: &S3Error) -> Result<Response, wasm_bindgen::JsValue> {
    let headers = Headers::new()?;
    headers.set("content-type", "application/xml")?;
    let init = response::init(e.parts().0, &headers);
    Response::new_with_opt_str_and_init(Some(&e.body()), &init)
}

/// A response without a body.
pub fn empty(status: u16) -> Answer {
    with_headers(status, &Headers::new()?)
}

/// A response without a body, with headers.
pub fn with_headers(status: u16, headers: &Headers) -> Answer {
    let init = response::init(status, headers);
    Ok(Response::new_with_opt_str_and_init(None, &init)?)
}

/// A response with the entity tag of the object that was written.
pub fn etag(etag: &str) -> Answer {
    let headers = Headers::new()?;
    headers.set("etag", etag)?;
    with_headers(200, &headers)
}

/// The response to the probe of `sandboxd`.
pub fn probe() -> Answer {
    let headers = Headers::new()?;
    headers.set("content-length", &PROBE_LENGTH.to_string())?;
    with_headers(200, &headers)
}

/// The region of the bucket: the default one.
pub fn location() -> Answer {
    let mut text = Xml::answer("LocationConstraint");
    text.close("LocationConstraint");
    xml(200, &text.finish())
}

/// A result with some elements of text.
pub fn result(name: &str, elements: &[(&str, &str)]) -> Answer {
    let mut text = Xml::answer(name);
    for (element, value) in elements {
        text.element(element, value);
    }
    text.close(name);
    xml(200, &text.finish())
}
