//! S3 for the s3fs of this sandbox: checks the grant of a request, and answers it from an R2
//! binding or from the bucket's own store, signed with the credentials that the sandbox does not
//! have. Bodies pass through as the runtime's streams.

mod answer;
pub mod binding;
mod metadata;
mod r2;
pub mod remote;
mod sign;

use std::rc::Rc;

use js_sys::Reflect;
use sandbox_protocol::mount::Source;
use sandbox_protocol::s3::OBJECT;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Request, Response};

use super::Core;
use crate::error::ApiError;
use crate::s3::authorization::Credential;
use crate::s3::{Operation, S3Error, Scope};
use crate::snapshot::store;
use crate::url;

pub use answer::error as error_response;
pub use r2::{Bucket, is_bucket};
pub use sign::Signer;

impl Core {
    /// Answers a request of s3fs. Every failure becomes an error of S3.
    pub async fn s3(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        match self.serve(request).await {
            Ok(response) => Ok(response),
            Err(e) => {
                if let S3Error::Failed(message) = &e {
                    self.log("bucket failed", None, message);
                }
                Ok(answer::error(&e)?)
            }
        }
    }

    async fn serve(self: &Rc<Self>, request: &Request) -> Result<Response, S3Error> {
        let headers = request.headers();
        let header = |name: &str| headers.get(name).ok().flatten();
        let credential = header("authorization").and_then(|value| Credential::parse(&value));
        let credential = credential.ok_or(S3Error::AccessDenied("no token was sent"))?;
        let grant = self.find_grant(&credential.token).await?;
        let grant = grant.ok_or(S3Error::AccessDenied("the token has no grant"))?;
        let (url, method) = (request.url(), request.method());
        let path = url::path(&url).strip_prefix(OBJECT).unwrap_or_default();
        let operation = Operation::parse(&method, path, url::query(&url), header)?;
        let mount = &grant.mount;
        if mount.read_only && operation.is_write() {
            return Err(S3Error::AccessDenied("the mount is read-only"));
        }
        let scope = Scope::new(mount.prefix.as_ref());
        match (&operation, &mount.source) {
            (Operation::Probe, _) => answer::probe(),
            (Operation::HeadBucket, _) => answer::empty(200),
            (Operation::Location, _) => answer::location(),
            (_, Source::Binding(name)) => {
                let bucket = Reflect::get(&self.env, &name.as_str().into())?;
                if !is_bucket(&bucket) || name.as_str() == store::BINDING {
                    return Err(S3Error::NoSuchBucket);
                }
                binding::serve(&bucket.unchecked_into(), &scope, operation, request).await
            }
            (_, Source::Remote(remote)) => {
                remote::serve(
                    &self.signer,
                    remote,
                    &scope,
                    &credential.region,
                    operation,
                    request,
                )
                .await
            }
        }
    }
}

impl From<JsValue> for S3Error {
    // Not inlined into each of the many calls that can throw.
    #[cold]
    #[inline(never)]
    fn from(thrown: JsValue) -> Self {
        Self::from_r2(worker::Error::from(thrown).to_string())
    }
}

impl From<ApiError> for S3Error {
    #[cold]
    #[inline(never)]
    fn from(e: ApiError) -> Self {
        Self::Failed(e.body().error)
    }
}
