//! Mounts that the Sandbox object serves: of an R2 binding, which has no credentials, and with `credentialProxy`, whose
//! credentials stay here. To `sandboxd` they are mounts like others, of an S3 server that is this very object: its
//! credentials are a token. How s3fs gets here depends on the runtime:
//!
//! - A sandbox of this machine shares its network, and asks the Worker at the address where the client asked it.
//! - The requests of a container to an address that nobody has are handed to the Worker by the platform. They enter it with
//!   the name of their sandbox, and can do nothing else there: see [`crate::edge`].
//!
//! Whether they arrive is known to `sandboxd` alone, which looks before it mounts: 501 when they do not.

use std::rc::Rc;

use sandbox_protocol::mount::{Bucket, Credentials, Endpoint, Remote, Source};
use sandbox_protocol::object::ORIGIN_HEADER;
use sandbox_protocol::{Invalid, MountRequest, UnmountRequest, s3, sandboxd};
use web_sys::{Request, Response};

use super::Core;
use super::container;
use super::grant::Grant;
use super::runtime::Runtime;
use crate::error::ApiError;
use crate::new_id::new_id;
use crate::stub;

impl Core {
    /// Mounts what this object serves. The answer is that of `sandboxd`.
    pub async fn mount(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let wanted = MountRequest::parse(stub::text(request.text()).await?.as_bytes())?;
        let boot = self.boot().await?;
        let origin = match &self.runtime {
            Runtime::Container(container, _) => {
                container.intercept().await?;
                container::S3_ORIGIN.to_owned()
            }
            Runtime::Local(_) => request.headers().get(ORIGIN_HEADER)?.unwrap_or_default(),
        };
        let token = format!("{}{}", new_id()?, new_id()?);
        let endpoint = format!("{origin}{}", s3::path(&self.id));
        let order = order(&wanted, &endpoint, &token)?;
        let grant = Grant::new(&token, &boot.id, wanted).await?;
        self.grant(grant.clone()).await?;
        // When the answer is lost, the mount may be there: the grant then lives as long as the boot.
        let answer = self.ask(sandboxd::MOUNT, "POST", Some(&order.to_json())).await?;
        if answer.ok() {
            self.settle(&grant).await?;
        } else {
            self.withdraw(&grant).await?;
        }
        Ok(answer)
    }

    /// Unmounts whatever is mounted there. The answer is that of `sandboxd`.
    pub async fn unmount(self: &Rc<Self>, request: &Request) -> Result<Response, ApiError> {
        let unmount = UnmountRequest::parse(stub::text(request.text()).await?.as_bytes())?;
        let answer = self
            .ask(sandboxd::UNMOUNT, "POST", Some(&unmount.to_json()))
            .await?;
        if answer.ok() {
            self.end_grants_at(&unmount.mount_path).await?;
        }
        Ok(answer)
    }

    /// The object was loaded anew and has found the boot with this id: what it served before, it serves again.
    pub async fn resume_mounts(&self, boot_id: &str) {
        let Runtime::Container(container, _) = &self.runtime else {
            return;
        };
        let resumed = async {
            match self.serves(boot_id).await? {
                true => container.intercept().await,
                false => Ok(()),
            }
        };
        if let Err(e) = resumed.await {
            self.log("mounts not resumed", Some(boot_id), &e.body().error);
        }
    }
}

/// What `sandboxd` is to mount: the same from here. The prefix is applied here, too.
fn order(wanted: &MountRequest, endpoint: &str, token: &str) -> Result<MountRequest, Invalid> {
    let says_r2 = match &wanted.source {
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
        ..wanted.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sandbox_is_told_of_no_bucket_and_no_key() {
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
            let wanted = MountRequest::parse(body.as_bytes()).unwrap();
            let order = order(&wanted, "http://localhost:8787/v1/sandbox/abc/s3", "tok").unwrap();
            let json = order.to_json();
            assert!(
                !json.to_lowercase().contains("secret_one") && !json.contains("\"secret\""),
                "{json}"
            );
            assert!(
                json.contains(r#""accessKeyId":"tok""#) && json.contains(r#""readOnly":true"#),
                "{json}"
            );
            assert_eq!(json.contains(r#""provider":"r2""#), is_r2);
            assert_eq!(MountRequest::parse(json.as_bytes()).unwrap(), order);
        }
    }
}
