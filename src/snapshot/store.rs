//! The store of snapshots: an R2 binding, or a bucket at an S3 endpoint, behind the same few calls.
//! Both speak S3 here, as they do for mounts.

use std::time::Duration;

use js_sys::{Reflect, Uint8Array};
use sandbox_protocol::mount::Remote;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{Headers, Request, RequestInit, Response};
use worker::Env;

use crate::body;
use crate::config::Config;
use crate::deadline::within;
use crate::error::ApiError;
use crate::s3::list::{Page, Query};
use crate::s3::xml::{self, Xml};
use crate::s3::{Key, Operation, S3Error, Scope};
use crate::sandbox::s3::{Bucket, Signer, binding, is_bucket, remote};
use crate::stub;

pub use crate::s3::operation::Upload;

/// The name of the R2 binding.
pub const BINDING: &str = "SNAPSHOTS";

/// The largest list of keys, in bytes.
const MAX_LIST: usize = 4 * 1024 * 1024;

/// The timeout of a request to the store, as a multiple of that of a call of the platform: a part of an
/// archive has 8 MiB.
const TIMEOUT_FACTOR: u32 = 12;

/// The store of the deployment.
pub struct Store {
    backend: Backend,
    timeout: Duration,
}

enum Backend {
    Binding(Bucket),
    Remote {
        remote: Box<Remote>,
        region: String,
        signer: Signer,
    },
}

impl Store {
    /// The store that the deployment configures. Error: 501, which says what to set.
    pub fn from_env(env: &Env, config: &Config) -> Result<Self, ApiError> {
        let timeout = config.platform_timeout * TIMEOUT_FACTOR;
        let binding = Reflect::get(env, &BINDING.into())?;
        if is_bucket(&binding) {
            let backend = Backend::Binding(binding.unchecked_into());
            return Ok(Self { backend, timeout });
        }
        let Some(snapshots) = &config.snapshots else {
            return Err(ApiError::NotSupported(format!(
                "there is no store of snapshots: bind an R2 bucket as {BINDING} in wrangler.jsonc, or set SNAPSHOT_BUCKET \
                 and SNAPSHOT_ENDPOINT with a key"
            )));
        };
        let backend = Backend::Remote {
            remote: Box::new(snapshots.remote.clone()),
            region: snapshots.region.clone(),
            signer: Signer::default(),
        };
        Ok(Self { backend, timeout })
    }

    async fn send(
        &self,
        operation: Operation,
        method: &str,
        range: Option<&str>,
        body: Option<(&JsValue, u64)>,
    ) -> Result<Response, S3Error> {
        let headers = Headers::new()?;
        if let Some(range) = range {
            headers.set("range", range)?;
        }
        let init = RequestInit::new();
        init.set_method(method);
        if let Some((body, length)) = body {
            headers.set("content-length", &length.to_string())?;
            init.set_body(body);
        }
        init.set_headers(&headers);
        let request = Request::new_with_str_and_init("http://store/", &init)?;
        let scope = Scope::new(None);
        let answer = async {
            match &self.backend {
                Backend::Binding(bucket) => binding::serve(bucket, &scope, operation, &request).await,
                Backend::Remote {
                    remote,
                    region,
                    signer,
                } => remote::serve(signer, remote, &scope, region, operation, &request).await,
            }
        };
        let answer = within(self.timeout, "a request to it", answer).await;
        answer.unwrap_or_else(|e| Err(S3Error::Failed(e.body().error)))
    }

    /// Stores an object of this length, in the place of another.
    pub async fn put(&self, key: &str, body: &JsValue, length: u64) -> Result<(), ApiError> {
        let sent = self.send(Operation::Put(parse(key)?), "PUT", None, Some((body, length)));
        sent.await.map_err(failed).map(drop)
    }

    /// Stores a small object.
    pub async fn put_text(&self, key: &str, text: &str) -> Result<(), ApiError> {
        let bytes = Uint8Array::from(text.as_bytes());
        self.put(key, &bytes.into(), text.len() as u64).await
    }

    /// The response with an object, or with the bytes of it from the first to the last; `None`: there
    /// is none.
    pub async fn get(&self, key: &str, range: Option<(u64, u64)>) -> Result<Option<Response>, ApiError> {
        let range = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let sent = self.send(Operation::Get(parse(key)?), "GET", range.as_deref(), None);
        match sent.await {
            Ok(response) => Ok(Some(response)),
            Err(S3Error::NoSuchKey) => Ok(None),
            Err(S3Error::Refused { status: 404, .. }) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    /// A small object; `None`: there is none.
    pub async fn text(&self, key: &str) -> Result<Option<String>, ApiError> {
        match self.get(key, None).await? {
            Some(response) => stub::text(response.text()).await.map(Some),
            None => Ok(None),
        }
    }

    /// Deletes an object, if there is one.
    pub async fn delete(&self, key: &str) -> Result<(), ApiError> {
        let sent = self.send(Operation::Delete(parse(key)?), "DELETE", None, None);
        sent.await.map_err(failed).map(drop)
    }

    /// The keys with this prefix, in order, after the key `after`: at most `limit`, and whether there
    /// may be more.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, bool), ApiError> {
        let limit = limit.to_string();
        let query = Query::parse(|name| {
            Ok(match name {
                "list-type" => Some("2".to_owned()),
                "prefix" => Some(prefix.to_owned()),
                "start-after" => after.map(str::to_owned),
                "max-keys" => Some(limit.clone()),
                _ => None,
            })
        });
        let operation = Operation::List(query.map_err(failed)?);
        let response = self.send(operation, "GET", None, None).await.map_err(failed)?;
        let text = body::read_stream(response.body(), MAX_LIST).await?;
        let page = Page::read(&String::from_utf8_lossy(&text), &Scope::new(None));
        let keys = page.entries.into_iter().map(|entry| entry.key).collect();
        Ok((keys, page.is_truncated))
    }

    /// Begins an upload in parts.
    pub async fn create_upload(&self, key: &str) -> Result<Upload, ApiError> {
        let key = parse(key)?;
        let sent = self.send(Operation::CreateUpload(key.clone()), "POST", None, None);
        let response = sent.await.map_err(failed)?;
        let id = xml::text(&stub::text(response.text()).await?, "UploadId");
        let id = id.ok_or_else(|| ApiError::Snapshot("the store gave no id of an upload".into()))?;
        Ok(Upload { key, id })
    }

    /// Stores part `number`, from 1. Returns its entity tag.
    pub async fn upload_part(
        &self,
        upload: &Upload,
        number: u16,
        body: &JsValue,
        length: u64,
    ) -> Result<String, ApiError> {
        let operation = Operation::UploadPart(upload.clone(), number);
        let sent = self.send(operation, "PUT", None, Some((body, length)));
        let response = sent.await.map_err(failed)?;
        Ok(response.headers().get("etag")?.unwrap_or_default())
    }

    /// Makes an object of the parts, whose entity tags are in the order of their numbers.
    pub async fn complete_upload(&self, upload: &Upload, etags: &[String]) -> Result<(), ApiError> {
        let mut text = Xml::document();
        text.open("CompleteMultipartUpload");
        for (number, etag) in (1..).zip(etags) {
            let number: u32 = number;
            text.open("Part");
            text.element("PartNumber", &number.to_string());
            text.element("ETag", etag);
            text.close("Part");
        }
        text.close("CompleteMultipartUpload");
        let text = text.finish();
        let bytes = Uint8Array::from(text.as_bytes()).into();
        let operation = Operation::CompleteUpload(upload.clone());
        let sent = self.send(operation, "POST", None, Some((&bytes, text.len() as u64)));
        let response = sent.await.map_err(failed)?;
        // S3 may find an error after it has begun to answer.
        let answer = stub::text(response.text()).await?;
        match xml::text(&answer, "Code") {
            Some(code) => Err(ApiError::Snapshot(format!(
                "the store did not complete an upload: {code}"
            ))),
            None => Ok(()),
        }
    }

    /// Deletes the parts of an upload.
    pub async fn abort_upload(&self, upload: &Upload) -> Result<(), ApiError> {
        let sent = self.send(Operation::AbortUpload(upload.clone()), "DELETE", None, None);
        sent.await.map_err(failed).map(drop)
    }
}

fn parse(key: &str) -> Result<Key, ApiError> {
    Key::parse(key).map_err(failed)
}

fn failed(e: S3Error) -> ApiError {
    let text = match e {
        S3Error::Failed(text) => text,
        e => {
            let (status, code) = e.parts();
            format!("{code} ({status})")
        }
    };
    ApiError::Snapshot(format!("the store of snapshots failed: {text}"))
}
