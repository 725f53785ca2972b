//! S3 from an R2 binding.

use js_sys::{Array, Object, Promise, Reflect};
use sandbox_protocol::s3::BUCKET;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, Response};

use super::answer;
use super::r2::{self, Bucket, R2Object};
use crate::api::body;
use crate::response;
use crate::s3::list::{Entry, Page, Query};
use crate::s3::operation::{Upload, first_of};
use crate::s3::{Key, Operation, S3Error, Scope, complete};

/// What begins the header of something that the writer of an object notes.
const META: &str = "x-amz-meta-";

type Answer = Result<Response, S3Error>;

/// Answers a request, within `scope`.
pub async fn serve(bucket: &Bucket, scope: &Scope, operation: Operation, request: &Request) -> Answer {
    let source = match &operation {
        Operation::List(query) => return list(bucket, scope, query).await,
        Operation::Copy { from, .. } => Some((from, None)),
        Operation::CopyPart { from, range, .. } => Some((from, *range)),
        _ => None,
    };
    let source = match source {
        Some((from, range)) => {
            let found = bucket.get(&scope.inside(from.as_str()), &of_range(range)?)?;
            Some(r2::some::<R2Object>(JsFuture::from(found).await?).ok_or(S3Error::NoSuchKey)?)
        }
        None => None,
    };
    let parts = match operation {
        Operation::CompleteUpload(_) => body::read(request, complete::MAX_BODY).await?,
        _ => Vec::new(),
    };
    let asked = ask(bucket, scope, &operation, request, source.as_ref(), &parts)?;
    tell(&operation, request, JsFuture::from(asked).await?)
}

/// Begins what is asked for. A copy is made of `source`, an upload of `parts`, the body that lists them.
fn ask(
    bucket: &Bucket,
    scope: &Scope,
    operation: &Operation,
    request: &Request,
    source: Option<&R2Object>,
    parts: &[u8],
) -> Result<Promise, S3Error> {
    let at = |key: &Key| scope.inside(key.as_str());
    let upload = |upload: &Upload| bucket.resume_upload(&at(&upload.key), &upload.id);
    let content = || match source {
        Some(source) => Ok(source.body().map_or_else(|| "".into(), JsValue::from)),
        None => r2::body(request),
    };
    Ok(match operation {
        Operation::Head(key) => bucket.head(&at(key))?,
        Operation::Get(key) => {
            // R2 reads the conditions and the range from the headers.
            let options = Object::new();
            let headers = request.headers();
            set(&options, "onlyIf", &headers)?;
            if headers.has("range")? {
                set(&options, "range", &headers)?;
            }
            bucket.get(&at(key), &options)?
        }
        Operation::Put(key) => {
            let options = metadata(request, None)?;
            set(&options, "onlyIf", &request.headers())?;
            bucket.put(&at(key), &content()?, &options)?
        }
        Operation::Copy {
            to,
            replaces_metadata,
            ..
        } => {
            let options = metadata(request, source.filter(|_| !replaces_metadata))?;
            bucket.put(&at(to), &content()?, &options)?
        }
        Operation::Delete(key) => bucket.delete(&at(key))?,
        Operation::CreateUpload(key) => bucket.create_upload(&at(key), &metadata(request, None)?)?,
        Operation::UploadPart(to, part) => upload(to)?.upload_part(*part, &content()?)?,
        Operation::CopyPart { upload: to, part, .. } => upload(to)?.upload_part(*part, &content()?)?,
        Operation::CompleteUpload(to) => {
            let list = Array::new();
            for part in complete::parse(&String::from_utf8_lossy(parts))? {
                let object = Object::new();
                set(&object, "partNumber", &part.number.into())?;
                set(&object, "etag", &part.etag.into())?;
                list.push(&object);
            }
            upload(to)?.complete(&list)?
        }
        Operation::AbortUpload(to) => upload(to)?.abort()?,
        Operation::Probe | Operation::Location | Operation::HeadBucket | Operation::List(_) => {
            Promise::resolve(&JsValue::UNDEFINED)
        }
    })
}

/// The answer, made of what R2 gave.
fn tell(operation: &Operation, request: &Request, given: JsValue) -> Answer {
    match operation {
        Operation::Head(_) => {
            let object: R2Object = r2::some(given).ok_or(S3Error::NoSuchKey)?;
            answer::with_headers(200, &describe(&object)?)
        }
        Operation::Get(_) => content(&r2::some(given).ok_or(S3Error::NoSuchKey)?, &request.headers()),
        // R2 gives nothing when a condition does not hold.
        Operation::Put(_) => {
            let object: R2Object = r2::some(given).ok_or(S3Error::PreconditionFailed)?;
            answer::etag(&object.http_etag())
        }
        Operation::Copy { .. } => {
            let object: R2Object = r2::some(given).ok_or(S3Error::PreconditionFailed)?;
            let modified = String::from(object.uploaded().to_iso_string());
            answer::result(
                "CopyObjectResult",
                &[("ETag", &object.http_etag()), ("LastModified", &modified)],
            )
        }
        Operation::CreateUpload(key) => answer::result(
            "InitiateMultipartUploadResult",
            &[
                ("Bucket", BUCKET),
                ("Key", key.as_str()),
                ("UploadId", &text(&given, "uploadId")?),
            ],
        ),
        Operation::UploadPart(..) => answer::etag(&quoted(&given)?),
        Operation::CopyPart { .. } => answer::result("CopyPartResult", &[("ETag", &quoted(&given)?)]),
        Operation::CompleteUpload(to) => answer::result(
            "CompleteMultipartUploadResult",
            &[
                ("Bucket", BUCKET),
                ("Key", to.key.as_str()),
                ("ETag", &text(&given, "httpEtag")?),
            ],
        ),
        Operation::Delete(_) | Operation::AbortUpload(_) => answer::empty(204),
        Operation::Probe | Operation::Location | Operation::HeadBucket | Operation::List(_) => {
            answer::empty(200)
        }
    }
}

async fn list(bucket: &Bucket, scope: &Scope, query: &Query) -> Answer {
    let options = Object::new();
    set(&options, "prefix", &scope.inside(&query.prefix).into())?;
    if let Some(delimiter) = &query.delimiter {
        set(&options, "delimiter", &delimiter.into())?;
    }
    if let Some(after) = query.start_after() {
        set(&options, "startAfter", &scope.inside(&after).into())?;
    }
    set(&options, "limit", &query.limit.max(1).into())?;
    loop {
        let listed = JsFuture::from(bucket.list(&options)?).await?;
        let page = page(&listed, scope)?;
        // There can be pages with nothing in them that are not the last.
        if page.last().is_some() || !page.is_truncated {
            return answer::xml(200, &query.answer(&page));
        }
        set(&options, "cursor", &get_property(&listed, "cursor")?)?;
    }
}

fn page(listed: &JsValue, scope: &Scope) -> Result<Page, JsValue> {
    let mut page = Page {
        is_truncated: get_property(listed, "truncated")?.is_truthy(),
        ..Page::default()
    };
    for object in Array::from(&get_property(listed, "objects")?).iter() {
        let object: R2Object = object.unchecked_into();
        if let Some(key) = scope.shown(&object.key()) {
            page.entries.push(Entry {
                key,
                modified: object.uploaded().to_iso_string().into(),
                etag: object.http_etag(),
                size: object.size().to_string(),
            });
        }
    }
    for prefix in Array::from(&get_property(listed, "delimitedPrefixes")?).iter() {
        let prefix = prefix.as_string().unwrap_or_default();
        page.prefixes.extend(scope.shown(&prefix));
    }
    Ok(page)
}

/// The object, or the range of it that was wanted, if the conditions held.
fn content(object: &R2Object, wanted: &Headers) -> Answer {
    let headers = describe(object)?;
    let Some(body) = object.body() else {
        let must_match = wanted.has("if-match")? || wanted.has("if-unmodified-since")?;
        return match must_match {
            true => Err(S3Error::PreconditionFailed),
            false => {
                headers.delete("content-length")?;
                answer::with_headers(304, &headers)
            }
        };
    };
    let mut status = 200;
    if let (Some(asked), Some(range)) = (wanted.get("range")?, object.range()) {
        let number = |name: &str| get_property(&range, name).map(|value| value.as_f64());
        let size = object.size();
        // wrangler's R2 gives all of it then.
        if first_of(&asked).is_some_and(|first| first as f64 >= size) {
            return Err(S3Error::InvalidRange);
        }
        let (first, length) = match number("suffix")? {
            Some(suffix) => (size - suffix.min(size), suffix.min(size)),
            None => {
                let first = number("offset")?.unwrap_or(0.0);
                (first, number("length")?.unwrap_or(size - first))
            }
        };
        let length = length.min(size - first);
        headers.set(
            "content-range",
            &format!("bytes {first}-{}/{size}", first + length - 1.0),
        )?;
        headers.set("content-length", &length.to_string())?;
        status = 206;
    }
    Ok(response::streamed(status, &headers, Some(&body))?)
}

/// The options that read a range.
fn of_range(range: Option<(u64, u64)>) -> Result<Object, JsValue> {
    let options = Object::new();
    if let Some((first, last)) = range {
        let range = Object::new();
        set(&range, "offset", &(first as f64).into())?;
        set(&range, "length", &((last - first + 1) as f64).into())?;
        set(&options, "range", &range)?;
    }
    Ok(options)
}

/// What the headers of an answer say of an object.
fn describe(object: &R2Object) -> Result<Headers, JsValue> {
    let headers = Headers::new()?;
    object.write_http_metadata(&headers)?;
    headers.set("etag", &object.http_etag())?;
    headers.set("last-modified", &String::from(object.uploaded().to_utc_string()))?;
    headers.set("content-length", &object.size().to_string())?;
    headers.set("accept-ranges", "bytes")?;
    if let Some(notes) = object.custom_metadata() {
        for note in Object::entries(&notes).iter() {
            let note = Array::from(&note);
            if let (Some(name), Some(value)) = (note.get(0).as_string(), note.get(1).as_string()) {
                // Another writer's may not be fit for a header.
                let _ = headers.set(&format!("{META}{name}"), &value);
            }
        }
    }
    Ok(headers)
}

/// What is noted of an object that is written: what the headers of the request say, or what is noted of another.
fn metadata(request: &Request, other: Option<&R2Object>) -> Result<Object, JsValue> {
    let (options, notes) = (Object::new(), Object::new());
    if let Some(other) = other {
        set(&options, "httpMetadata", &other.http_metadata())?;
        set(&options, "customMetadata", &other.custom_metadata().into())?;
        return Ok(options);
    }
    let headers = request.headers();
    for (name, value) in r2::pairs(&headers)? {
        if let Some(name) = name.strip_prefix(META) {
            set(&notes, name, &value.into())?;
        }
    }
    set(&options, "httpMetadata", &headers)?;
    set(&options, "customMetadata", &notes)?;
    Ok(options)
}

/// The entity tag of a part, in quotes.
fn quoted(part: &JsValue) -> Result<String, JsValue> {
    Ok(format!("\"{}\"", text(part, "etag")?.trim_matches('"')))
}

fn text(object: &JsValue, name: &str) -> Result<String, JsValue> {
    Ok(get_property(object, name)?.as_string().unwrap_or_default())
}

fn get_property(object: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    Reflect::get(object, &name.into())
}

fn set(object: &Object, name: &str, value: &JsValue) -> Result<(), JsValue> {
    Reflect::set(object, &name.into(), value).map(drop)
}
