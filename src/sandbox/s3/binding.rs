//! S3 from an R2 binding.

use js_sys::{Array, Object, Promise, Reflect};
use sandbox_protocol::s3::BUCKET;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, Request, Response};

use super::answer;
use super::metadata::{metadata, object_headers};
use super::r2::{self, Bucket, R2Object, set};
use crate::body;
use crate::response;
use crate::s3::list::{Entry, Page, Query};
use crate::s3::operation::{Upload, first_byte};
use crate::s3::{Key, Operation, S3Error, Scope, complete};

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
            let found = bucket.get(&scope.with_prefix(from.as_str()), &range_options(range)?)?;
            Some(r2::non_null::<R2Object>(JsFuture::from(found).await?).ok_or(S3Error::NoSuchKey)?)
        }
        None => None,
    };
    let parts = match operation {
        Operation::CompleteUpload(_) => body::read(request, complete::MAX_BODY).await?,
        _ => Vec::new(),
    };
    let started = start(bucket, scope, &operation, request, source.as_ref(), &parts)?;
    to_response(&operation, request, JsFuture::from(started).await?)
}

/// Starts the operation at R2. A copy is made of `source`, an upload of `parts`, the body that
/// lists them.
fn start(
    bucket: &Bucket,
    scope: &Scope,
    operation: &Operation,
    request: &Request,
    source: Option<&R2Object>,
    parts: &[u8],
) -> Result<Promise, S3Error> {
    let at = |key: &Key| scope.with_prefix(key.as_str());
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

/// The response, from R2's result.
fn to_response(operation: &Operation, request: &Request, given: JsValue) -> Answer {
    match operation {
        Operation::Head(_) => {
            let object: R2Object = r2::non_null(given).ok_or(S3Error::NoSuchKey)?;
            answer::with_headers(200, &object_headers(&object)?)
        }
        Operation::Get(_) => content(
            &r2::non_null(given).ok_or(S3Error::NoSuchKey)?,
            &request.headers(),
        ),
        // R2 returns nothing when a condition does not hold.
        Operation::Put(_) => {
            let object: R2Object = r2::non_null(given).ok_or(S3Error::PreconditionFailed)?;
            answer::etag(&object.http_etag())
        }
        Operation::Copy { .. } => {
            let object: R2Object = r2::non_null(given).ok_or(S3Error::PreconditionFailed)?;
            let modified = String::from(r2::uploaded(&object)?.to_iso_string());
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
    set(&options, "prefix", &scope.with_prefix(&query.prefix).into())?;
    if let Some(delimiter) = &query.delimiter {
        set(&options, "delimiter", &delimiter.into())?;
    }
    if let Some(after) = query.start_after() {
        set(&options, "startAfter", &scope.with_prefix(&after).into())?;
    }
    set(&options, "limit", &query.limit.max(1).into())?;
    loop {
        let listed = JsFuture::from(bucket.list(&options)?).await?;
        let page = page(&listed, scope)?;
        // An empty page is not always the last one.
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
    for object in get_array(listed, "objects")?.iter() {
        let object: R2Object = object.unchecked_into();
        if let Some(key) = scope.without_prefix(&object.key()) {
            page.entries.push(Entry {
                key,
                modified: r2::uploaded(&object)?.to_iso_string().into(),
                etag: object.http_etag(),
                size: object.size().to_string(),
            });
        }
    }
    for prefix in get_array(listed, "delimitedPrefixes")?.iter() {
        let prefix = prefix.as_string().unwrap_or_default();
        page.prefixes.extend(scope.without_prefix(&prefix));
    }
    Ok(page)
}

/// The response with the object, or with the requested range of it, if the conditions held.
fn content(object: &R2Object, wanted: &Headers) -> Answer {
    let headers = object_headers(object)?;
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
    if let (Some(requested), Some(range)) = (wanted.get("range")?, object.range()) {
        let number = |name: &str| get_property(&range, name).map(|value| value.as_f64());
        let size = object.size();
        // wrangler's R2 returns the whole object then.
        if first_byte(&requested).is_some_and(|first| first as f64 >= size) {
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
    let init = response::init(status, &headers);
    // An object that says so is encoded already.
    set(&init, "encodeBody", &"manual".into())?;
    Ok(Response::new_with_opt_readable_stream_and_init(
        Some(&body),
        &init,
    )?)
}

/// The options of R2 that read a range.
fn range_options(range: Option<(u64, u64)>) -> Result<Object, JsValue> {
    let options = Object::new();
    if let Some((first, last)) = range {
        let range = Object::new();
        set(&range, "offset", &(first as f64).into())?;
        set(&range, "length", &((last - first + 1) as f64).into())?;
        set(&options, "range", &range)?;
    }
    Ok(options)
}

/// The entity tag of a part, in quotes.
fn quoted(part: &JsValue) -> Result<String, JsValue> {
    Ok(format!("\"{}\"", text(part, "etag")?.trim_matches('"')))
}

fn text(object: &JsValue, name: &str) -> Result<String, JsValue> {
    Ok(get_property(object, name)?.as_string().unwrap_or_default())
}

fn get_array(object: &JsValue, name: &str) -> Result<Array, JsValue> {
    get_property(object, name)?.dyn_into()
}

fn get_property(object: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    Reflect::get(object, &name.into())
}
