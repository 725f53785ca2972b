//! R2 bindings. The bindings of the `worker` crate are larger than all of this, and copy bodies.

use js_sys::{Array, Date, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{Headers, ReadableStream, Request};

use crate::s3::S3Error;
use crate::stream;

/// The name of a binding's JavaScript class.
const CLASS: &str = "R2Bucket";

#[wasm_bindgen]
extern "C" {
    /// A bucket.
    pub type Bucket;

    #[wasm_bindgen(method, catch)]
    pub fn head(this: &Bucket, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn get(this: &Bucket, key: &str, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn put(this: &Bucket, key: &str, value: &JsValue, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn delete(this: &Bucket, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn list(this: &Bucket, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = createMultipartUpload)]
    pub fn create_upload(this: &Bucket, key: &str, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = resumeMultipartUpload)]
    pub fn resume_upload(this: &Bucket, key: &str, id: &str) -> Result<Upload, JsValue>;

    /// An upload in parts.
    pub type Upload;

    #[wasm_bindgen(method, catch, js_name = uploadPart)]
    pub fn upload_part(this: &Upload, number: u16, value: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn complete(this: &Upload, parts: &Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn abort(this: &Upload) -> Result<Promise, JsValue>;

    /// The metadata of an object; with a `body` when it was requested and the conditions held.
    pub type R2Object;

    #[wasm_bindgen(method, getter)]
    pub fn key(this: &R2Object) -> String;

    #[wasm_bindgen(method, getter)]
    pub fn size(this: &R2Object) -> f64;

    #[wasm_bindgen(method, getter, js_name = httpEtag)]
    pub fn http_etag(this: &R2Object) -> String;

    #[wasm_bindgen(method, getter)]
    fn uploaded(this: &R2Object) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = customMetadata)]
    pub fn custom_metadata(this: &R2Object) -> Option<Object>;

    #[wasm_bindgen(method, getter, js_name = httpMetadata)]
    pub fn http_metadata(this: &R2Object) -> JsValue;

    #[wasm_bindgen(method, getter)]
    pub fn range(this: &R2Object) -> Option<Object>;

    /// Only results of `get` have it, and only when the conditions held.
    #[wasm_bindgen(method, getter)]
    pub fn body(this: &R2Object) -> Option<ReadableStream>;

    #[wasm_bindgen(method, catch, js_name = writeHttpMetadata)]
    pub fn write_http_metadata(this: &R2Object, headers: &Headers) -> Result<(), JsValue>;
}

/// The upload time of an object. Error: the runtime gives none.
pub fn uploaded(object: &R2Object) -> Result<Date, JsValue> {
    let uploaded = object.uploaded().dyn_into::<Date>();
    // Formatting an invalid date throws.
    uploaded
        .ok()
        .filter(|date| date.get_time().is_finite())
        .ok_or_else(|| JsValue::from("the bucket's binding gave an object without a valid time"))
}

/// Whether this is the binding of a bucket. Bindings of other kinds have any method, as an RPC to
/// another Worker: only the class tells them apart.
pub fn is_bucket(binding: &JsValue) -> bool {
    let class = || {
        let constructor: Function = Reflect::get(binding, &"constructor".into())
            .ok()?
            .dyn_into()
            .ok()?;
        Some(String::from(constructor.name()))
    };
    binding.is_object() && class().is_some_and(|class| class == CLASS)
}

/// The value of a promise; `None` for null and undefined.
pub fn non_null<T: JsCast>(value: JsValue) -> Option<T> {
    let is_there = !value.is_null() && !value.is_undefined();
    is_there.then(|| value.unchecked_into())
}

/// The names and values of headers.
pub fn pairs(headers: &Headers) -> Result<Vec<(String, String)>, JsValue> {
    let mut pairs = Vec::new();
    for pair in headers.entries() {
        let pair = Array::from(&pair?);
        if let (Some(name), Some(value)) = (pair.get(0).as_string(), pair.get(1).as_string()) {
            pairs.push((name, value));
        }
    }
    Ok(pairs)
}

/// The body of a request as a value of known length: an empty array, or an unbuffered stream.
pub fn body(request: &Request) -> Result<JsValue, S3Error> {
    let length = request.headers().get("content-length")?;
    let length = length.and_then(|length| length.parse::<u64>().ok());
    let length = length.ok_or(S3Error::MissingContentLength)?;
    match request.body() {
        Some(body) if length > 0 => Ok(stream::pipe_through(body, Some(length))?.into()),
        _ => Ok(js_sys::Uint8Array::new_with_length(0).into()),
    }
}

/// Sets a property of a JavaScript object.
pub fn set(object: &Object, name: &str, value: &JsValue) -> Result<(), JsValue> {
    Reflect::set(object, &name.into(), value).map(drop)
}
