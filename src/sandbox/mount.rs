//! Mounts that the Sandbox object serves: of an R2 binding, which has no credentials, and with
//! `credentialProxy`, whose credentials stay here. For `sandboxd` they are ordinary mounts of an S3
//! server, which is this object: their credentials are a token. The way of s3fs to this object
//! depends on the runtime:
//!
//! - A sandbox of this machine reaches its S3 at an address that `sandbox-local` serves. It forwards
//!   such requests, and no others, to the Worker.
//! - The platform routes a container's requests to a reserved address to the Worker. They carry the
//!   id of their sandbox, and can do nothing else there: see [`crate::caller::Caller`].
//!
//! `sandboxd` probes that way before it mounts: 501 when it does not work.

use std::rc::Rc;

use sandbox_protocol::mount::{Bucket, Credentials, Endpoint, Remote, Source};
use sandbox_protocol::{Invalid, MountRequest, UnmountRequest, s3, sandboxd};
use web_sys::{Request, Response};

use super::container;
use super::grant::Grant;
use super::lifecycle::Boot;
use super::runtime::Runtime;
use super::{Core, own_request};
use crate::error::ApiError;
use crate::s3::token;
use crate::stub;

impl Core {
    /// Mounts a bucket that this object serves. The response is that of `sandboxd`.
    pub async fn mount(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let requested = MountRequest::parse(stub::text(request.text()).await?.as_bytes())?;
        let boot = self.boot().await?;
        self.mount_by_grant(&boot, requested).await
    }

    /// Mounts it in this boot.
    pub async fn mount_by_grant(
        self: &Rc<Self>,
        boot: &Boot,
        requested: MountRequest,
    ) -> Result<Response, ApiError> {
        let (origin, token) = match &self.runtime {
            Runtime::Container(container, _) => {
                container.intercept().await?;
                (container::S3_ORIGIN.to_owned(), token::random()?)
            }
            Runtime::Local(local) => (
                local.s3_origin().await?,
                token::signed(&self.config, &self.id).await?,
            ),
        };
        let endpoint = format!("{origin}{}", s3::path(&self.id));
        let rewritten = rewrite(&requested, &endpoint, &token)?;
        let grant = Grant::new(&token, &boot.id, requested).await?;
        self.add_grant(grant.clone()).await?;
        let mount = own_request("POST", Some(&rewritten.to_json()))?;
        let response = self.send(boot, sandboxd::MOUNT, &mount).await;
        match &response {
            Ok(response) if response.ok() => self.activate(&grant).await?,
            Ok(_) | Err(ApiError::Unavailable(_)) => self.revoke(&grant).await?,
            // The response was lost, and the mount may exist: the grant lives as long as the boot.
            Err(_) => {}
        }
        response
    }

    /// Unmounts a path. In a sandbox that does not run, nothing is mounted. The response is that of
    /// `sandboxd`.
    pub async fn unmount(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let unmount = UnmountRequest::parse(stub::text(request.text()).await?.as_bytes())?;
        let response = self
            .ask_if_running(sandboxd::UNMOUNT, "POST", Some(&unmount.to_json()))
            .await?;
        let path = &unmount.mount_path;
        let response =
            response.ok_or_else(|| ApiError::Unmount(format!("no bucket is mounted at {path}")))?;
        if response.ok() {
            self.remove_grants_at(path).await?;
        }
        Ok(response)
    }

    /// Serves the mounts of the boot with this id again, after the object was evicted and loaded.
    pub async fn resume_mounts(&self, boot_id: &str) {
        let Runtime::Container(container, _) = &self.runtime else {
            return;
        };
        let resumed = async {
            match self.has_grants(boot_id).await? {
                true => container.intercept().await,
                false => Ok(()),
            }
        };
        if let Err(e) = resumed.await {
            self.log("mounts not resumed", Some(boot_id), &e.body().error);
        }
    }
}

/// The request for `sandboxd`: the same mount, with this object as the S3 server. This object
/// applies the prefix.
fn rewrite(requested: &MountRequest, endpoint: &str, token: &str) -> Result<MountRequest, Invalid> {
    let says_r2 = match &requested.source {
        Source::Binding(_) => true,
        Source::Remote(remote) => remote.is_r2(),
    };
    Ok(MountRequest {
        source: Source::Remote(Remote {
            bucket: Bucket::parse(s3::BUCKET)?,
            endpoint: Some(Endpoint::parse(endpoint)?),
            says_r2,
            credentials: Some(Credentials::parse(token, token)?),
            credential_proxy: true,
        }),
        prefix: None,
        ..requested.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_to_sandboxd_contains_no_bucket_and_no_key() {
        for (body, is_r2) in [
            (
                r#"{"binding":"SECRET_ONE","mountPath":"/m","options":{"prefix":"secret","readOnly":true}}"#,
                true,
            ),
            (
                r#"{"bucket":"secret","mountPath":"/m","options":{"endpoint":"https://secret","prefix":"secret",
                    "readOnly":true,"credentialProxy":true,
                    "credentials":{"accessKeyId":"secret","secretAccessKey":"secret"}}}"#,
                false,
            ),
        ] {
            let requested = MountRequest::parse(body.as_bytes()).unwrap();
            let rewritten = rewrite(&requested, "http://127.0.0.1:28671/v1/sandbox/abc/s3", "tok").unwrap();
            let json = rewritten.to_json();
            assert!(
                !json.to_lowercase().contains("secret_one") && !json.contains("\"secret\""),
                "{json}"
            );
            assert!(
                json.contains(r#""accessKeyId":"tok""#) && json.contains(r#""readOnly":true"#),
                "{json}"
            );
            assert_eq!(json.contains(r#""provider":"r2""#), is_r2);
            assert_eq!(MountRequest::parse(json.as_bytes()).unwrap(), rewritten);
        }
    }
}
