//! The metadata of objects in R2, and the headers that carry it.

use js_sys::{Array, Object};
use wasm_bindgen::JsValue;
use web_sys::{Headers, Request};

use super::r2::{self, R2Object, set};

/// The prefix of the headers with custom metadata of an object.
const META_PREFIX: &str = "x-amz-meta-";

/// The headers of a response with an object.
pub fn object_headers(object: &R2Object) -> Result<Headers, JsValue> {
    let headers = Headers::new()?;
    object.write_http_metadata(&headers)?;
    headers.set("etag", &object.http_etag())?;
    headers.set(
        "last-modified",
        &String::from(r2::uploaded(object)?.to_utc_string()),
    )?;
    headers.set("content-length", &object.size().to_string())?;
    headers.set("accept-ranges", "bytes")?;
    if let Some(metadata) = object.custom_metadata() {
        for entry in Object::entries(&metadata).iter() {
            let entry = Array::from(&entry);
            if let (Some(name), Some(value)) = (entry.get(0).as_string(), entry.get(1).as_string()) {
                // Metadata of another writer may not be valid in a header.
                let _ = headers.set(&format!("{META_PREFIX}{name}"), &value);
            }
        }
    }
    Ok(headers)
}

/// The metadata of an object that is written: from the headers of the request, or copied from
/// another object.
pub fn metadata(request: &Request, other: Option<&R2Object>) -> Result<Object, JsValue> {
    let (options, metadata) = (Object::new(), Object::new());
    if let Some(other) = other {
        set(&options, "httpMetadata", &other.http_metadata())?;
        set(&options, "customMetadata", &other.custom_metadata().into())?;
        return Ok(options);
    }
    let headers = request.headers();
    for (name, value) in r2::pairs(&headers)? {
        if let Some(name) = name.strip_prefix(META_PREFIX) {
            set(&metadata, name, &value.into())?;
        }
    }
    set(&options, "httpMetadata", &headers)?;
    set(&options, "customMetadata", &metadata)?;
    Ok(options)
}
