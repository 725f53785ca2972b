//! S3 from the bucket's own store: the same requests, in the mount's bucket and below its prefix,
//! signed with the credentials of the mount.

use std::collections::BTreeMap;

use js_sys::{Reflect, Uint8Array};
use sandbox_protocol::mount::Remote;
use wasm_bindgen::JsValue;
use web_sys::{Headers, Request, RequestInit, RequestRedirect, Response};

use super::sign::{self, Signer};
use super::{answer, r2};
use crate::body;
use crate::fetch::global_fetch;
use crate::s3::forward::{Target, is_forwarded, payload};
use crate::s3::list::Page;
use crate::s3::{Operation, S3Error, Scope, complete, sigv4, xml};
use crate::url;

/// The maximum of bytes read of a list: some 4 KB for each of 1000 keys.
const MAX_LIST: usize = 8 * 1024 * 1024;

/// The maximum of bytes read of an error.
const MAX_ERROR: usize = 64 * 1024;

/// Answers a request, within `scope`, from the store, signed for `region`.
pub async fn serve(
    signer: &Signer,
    remote: &Remote,
    scope: &Scope,
    region: &str,
    operation: Operation,
    request: &Request,
) -> Result<Response, S3Error> {
    let (Some(endpoint), Some(credentials)) = (&remote.endpoint, &remote.credentials) else {
        return Err(S3Error::Failed(
            "the mount has no endpoint or no credentials".into(),
        ));
    };
    let target = Target::new(&operation, &remote.bucket, scope);
    // As the runtime normalizes it: parts that it leaves out, such as a default port, are not
    // signed.
    let base = Request::new_with_str(endpoint.as_str())?.url();
    let path = format!("{}{}", url::path(&base).trim_end_matches('/'), target.path);
    let original = request.headers();
    let validity = sign::now(region);
    let hash = original.get("x-amz-content-sha256")?;
    let payload = payload(hash.as_deref());
    let mut headers = BTreeMap::new();
    let mut add = |name: &str, value: String| headers.insert(name.to_owned(), value);
    for (name, value) in r2::pairs(&original)? {
        if is_forwarded(&name) {
            add(&name, value);
        }
    }
    add("host", url::authority(&base).to_owned());
    add("x-amz-content-sha256", payload.to_owned());
    add("x-amz-date", validity.time.clone());
    if let Some(source) = target.source {
        add("x-amz-copy-source", source);
    }
    let method = request.method();
    let signed = sigv4::Request {
        method: &method,
        path: &path,
        query: &target.query,
        headers: &headers,
        payload,
    };
    let authorization = signer.authorization(credentials, &validity, &signed).await?;
    let sent = Headers::new()?;
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        sent.set(name, value)?;
    }
    sent.set("authorization", &authorization)?;
    // The stored bytes, without a content encoding that the runtime would otherwise accept.
    sent.set("accept-encoding", "identity")?;
    let init = RequestInit::new();
    init.set_method(&method);
    init.set_headers(&sent);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&request.signal()));
    // A cached response for one mount must not be served to another.
    Reflect::set(&init, &"cache".into(), &"no-store".into())?;
    match operation {
        Operation::Put(_) | Operation::UploadPart(..) => init.set_body(&r2::body(request)?),
        Operation::CompleteUpload(_) => {
            let body = body::read(request, complete::MAX_BODY).await?;
            init.set_body(&Uint8Array::from(body.as_slice()));
        }
        _ => {}
    }
    let origin = url::origin(&base).unwrap_or_default();
    let at = match target.query.as_str() {
        "" => format!("{origin}{path}"),
        query => format!("{origin}{path}?{query}"),
    };
    let fetched = async { global_fetch(&Request::new_with_str_and_init(&at, &init)?).await };
    let response = fetched.await.map_err(unreachable)?;
    match (response.status(), operation) {
        (200, Operation::List(query)) => {
            let text = body::read_stream(response.body(), MAX_LIST).await?;
            let text = String::from_utf8_lossy(&text);
            answer::xml(200, &query.answer(&Page::read(&text, scope)))
        }
        (200..=299 | 304, _) => Ok(response),
        (status, _) => Err(store_error(status, response).await),
    }
}

fn unreachable(thrown: JsValue) -> S3Error {
    S3Error::Failed(format!(
        "the bucket's store cannot be reached: {}",
        worker::Error::from(thrown)
    ))
}

/// The store's error. Only its code and its region are forwarded: its message can contain the
/// access key.
async fn store_error(status: u16, response: Response) -> S3Error {
    let text = body::read_stream(response.body(), MAX_ERROR).await;
    let text = text.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let code = xml::text(&text, "Code");
    S3Error::Refused {
        // Redirects are not followed.
        status: if (300..400).contains(&status) { 400 } else { status },
        code: code.unwrap_or_else(|| match status {
            404 => "NoSuchKey".to_owned(),
            412 => "PreconditionFailed".to_owned(),
            status => format!("Status{status}"),
        }),
        region: xml::text(&text, "Region"),
    }
}
