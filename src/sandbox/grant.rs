//! What the s3fs of a sandbox may ask of its Sandbox object. Each mount that the object serves has a random token, which
//! only its s3fs knows, and a grant, which only the object has: the bucket with its credentials, the prefix, whether it may be
//! written. A token opens its own mount and nothing else.
//!
//! - Of a token only the digest is kept: who finds it can do nothing with it.
//! - Grants are stored, as an object can be evicted while its sandbox works in a mount.
//! - A grant belongs to a boot, and is good for as long as that boot runs, so that what it has open when it is ended still
//!   reaches the bucket. It goes with its mount, or with its boot.

use std::rc::Rc;

use sandbox_protocol::MountRequest;
use sandbox_protocol::mount::MountPath;
use serde_json::{Value, json};
use wasm_bindgen_futures::spawn_local;

use super::Core;
use super::lifecycle::Need;
use crate::auth::{same, sha256};
use crate::error::ApiError;
use crate::s3::sigv4::hex;

/// Where the object keeps its grants, as JSON.
pub const KEY: &str = "grants";

/// What a token opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The SHA-256 of the token, in hex.
    digest: String,
    /// The boot that it is for.
    boot: String,
    /// What the client asked for, with the credentials.
    pub mount: MountRequest,
}

impl Grant {
    /// What `token` opens for the boot `boot`.
    pub async fn new(token: &str, boot: &str, mount: MountRequest) -> Result<Self, ApiError> {
        Ok(Self {
            digest: hex(&sha256(token).await?),
            boot: boot.to_owned(),
            mount,
        })
    }

    fn to_json(&self) -> Value {
        json!({ "digest": self.digest, "boot": self.boot, "mount": self.mount.to_json() })
    }

    fn read(stored: &Value) -> Option<Self> {
        let text = |name: &str| stored.get(name)?.as_str();
        Some(Self {
            digest: text("digest")?.to_owned(),
            boot: text("boot")?.to_owned(),
            mount: MountRequest::parse(text("mount")?.as_bytes()).ok()?,
        })
    }
}

impl Core {
    /// What `token` opens now. Every grant is looked at to the end, whichever it is.
    pub async fn granted(&self, token: &str) -> Result<Option<Rc<Grant>>, ApiError> {
        let digest = hex(&sha256(token).await?);
        let mut found = None;
        for grant in self.grants().await? {
            if same(grant.digest.as_bytes(), digest.as_bytes()) {
                found = Some(grant);
            }
        }
        match found {
            Some(grant) if self.runs(&grant.boot).await? => Ok(Some(grant)),
            _ => Ok(None),
        }
    }

    async fn runs(&self, boot_id: &str) -> Result<bool, ApiError> {
        let need = self.lifecycle.borrow().need();
        let boot = match need {
            Need::Use(boot) => Some(boot),
            // It may be on its way to sleep, and have files to write first.
            Need::Wait | Need::Start { .. } => self.runtime.inspect().await?,
        };
        Ok(boot.is_some_and(|boot| boot.id == boot_id))
    }

    /// Adds a grant.
    pub async fn grant(&self, grant: Grant) -> Result<(), ApiError> {
        let mut grants = self.grants().await?;
        grants.push(Rc::new(grant));
        self.set_grants(grants).await
    }

    /// Its mount failed: takes the grant back.
    pub async fn withdraw(&self, grant: &Grant) -> Result<(), ApiError> {
        self.keep_grants(&|other| other.digest != grant.digest).await
    }

    /// Its mount works: nothing else can be mounted there, nor any more in another boot.
    pub async fn settle(&self, grant: &Grant) -> Result<(), ApiError> {
        let is_over =
            |other: &Grant| other.boot != grant.boot || other.mount.mount_path == grant.mount.mount_path;
        self.keep_grants(&|other| other.digest == grant.digest || !is_over(other))
            .await
    }

    /// Nothing is mounted there any more.
    pub async fn end_grants_at(&self, path: &MountPath) -> Result<(), ApiError> {
        self.keep_grants(&|grant| grant.mount.mount_path != *path).await
    }

    /// The boot with this id, or whichever there was, has ended.
    pub fn end_grants_of(self: &Rc<Self>, boot_id: Option<String>) {
        let core = self.clone();
        spawn_local(async move {
            let is_over = |grant: &Grant| boot_id.as_ref().is_none_or(|id| grant.boot == *id);
            if let Err(e) = core.keep_grants(&|grant| !is_over(grant)).await {
                core.log("grants not removed", None, &e.body().error);
            }
        });
    }

    /// Removes the grants of boots that ended while nobody watched.
    pub async fn sweep_grants(&self) {
        let swept = async {
            if self.grants().await?.is_empty() {
                return Ok(());
            }
            let boot = self.runtime.inspect().await?;
            let running = boot.as_ref().map(|boot| boot.id.as_str());
            self.keep_grants(&|grant| running == Some(grant.boot.as_str()))
                .await
        };
        let swept: Result<(), ApiError> = swept.await;
        if let Err(e) = swept {
            self.log("grants not looked at", None, &e.body().error);
        }
    }

    /// Whether the boot with this id has mounts that this object serves.
    pub async fn serves(&self, boot_id: &str) -> Result<bool, ApiError> {
        let grants = self.grants().await?;
        Ok(grants.iter().any(|grant| grant.boot == boot_id))
    }

    async fn keep_grants(&self, keeps: &dyn Fn(&Grant) -> bool) -> Result<(), ApiError> {
        let mut grants = self.grants().await?;
        let before = grants.len();
        grants.retain(|grant| keeps(grant));
        if grants.len() == before {
            return Ok(());
        }
        self.set_grants(grants).await
    }

    async fn grants(&self) -> Result<Vec<Rc<Grant>>, ApiError> {
        let read = |stored: &Value| Grant::read(stored).map(Rc::new);
        self.grants.get(&self.storage, read).await
    }

    async fn set_grants(&self, grants: Vec<Rc<Grant>>) -> Result<(), ApiError> {
        let json: Vec<Value> = grants.iter().map(|grant| grant.to_json()).collect();
        self.grants
            .set(&self.storage, grants, Value::from(json).to_string())
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form() {
        let mount =
            br#"{"bucket":"b","mountPath":"/m","options":{"endpoint":"http://h","credentialProxy":true,
            "prefix":"p","readOnly":true,"credentials":{"accessKeyId":"i","secretAccessKey":"s"}}}"#;
        let grant = Grant {
            digest: "0a".into(),
            boot: "b".into(),
            mount: MountRequest::parse(mount).unwrap(),
        };
        let stored = grant.to_json().to_string();
        assert_eq!(Grant::read(&serde_json::from_str(&stored).unwrap()), Some(grant));
        assert_eq!(Grant::read(&Value::Null), None);
    }
}
