//! Grants: the access of a sandbox's s3fs to its Sandbox object. Each mount that the object serves
//! has a random token, which only its s3fs knows, and a grant, which only the object has: the
//! bucket with its credentials, the prefix, whether it may be written. A token gives access to its
//! own mount and nothing else.
//!
//! - Only the digest of a token is stored: it is useless to a reader of the storage.
//! - Grants are stored, because an object can be evicted while its sandbox uses a mount.
//! - A grant belongs to a boot and is valid for as long as that boot runs, so that files that are
//!   open when the boot is terminated still reach the bucket. It is removed with its mount, or with
//!   its boot.

use std::rc::Rc;

use sandbox_protocol::MountRequest;
use sandbox_protocol::hex::hex;
use sandbox_protocol::limits::{Limit, Limits};
use sandbox_protocol::mount::MountPath;
use serde_json::{Value, json};
use wasm_bindgen_futures::spawn_local;

use super::Core;
use super::lifecycle::NextStep;
use crate::auth::{constant_time_eq, sha256};
use crate::error::ApiError;

/// The storage key of the object's grants, as JSON.
pub const KEY: &str = "grants";

/// The access that a token gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The SHA-256 of the token, in hex.
    digest: String,
    /// The id of its boot.
    boot: String,
    /// The client's request, with the credentials.
    pub mount: MountRequest,
}

impl Grant {
    /// The grant of `token` for the boot `boot`.
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
    /// The valid grant of `token`. Compares the digests of all grants, so that the time reveals
    /// nothing.
    pub async fn find_grant(&self, token: &str) -> Result<Option<Rc<Grant>>, ApiError> {
        let digest = hex(&sha256(token).await?);
        let mut found = None;
        for grant in self.grants().await? {
            if constant_time_eq(grant.digest.as_bytes(), digest.as_bytes()) {
                found = Some(grant);
            }
        }
        match found {
            Some(grant) if self.runs(&grant.boot).await? => Ok(Some(grant)),
            _ => Ok(None),
        }
    }

    async fn runs(&self, boot_id: &str) -> Result<bool, ApiError> {
        let next_step = self.lifecycle.borrow().next_step();
        let boot = match next_step {
            NextStep::Use(boot) => Some(boot),
            // It may be going to sleep, and have files to write first.
            NextStep::Wait | NextStep::Start { .. } => self.runtime.inspect().await?,
        };
        Ok(boot.is_some_and(|boot| boot.id == boot_id))
    }

    /// Adds a grant. Error: the boot has twice as many grants as the limit of mounts.
    pub async fn add_grant(&self, grant: Grant) -> Result<(), ApiError> {
        let limits = Limits::from_vars(|name| self.config.limits.get(name).cloned());
        let limit = limits.map_err(ApiError::NotConfigured)?.max_mounts;
        let mut grants = self.grants().await?;
        add(&mut grants, grant, limit)?;
        self.set_grants(grants).await
    }

    /// Revokes a grant, because its mount failed.
    pub async fn revoke(&self, grant: &Grant) -> Result<(), ApiError> {
        self.retain_grants(&|other| other.digest != grant.digest).await
    }

    /// Activates a grant, because its mount works: removes the others of its path, and those of
    /// other boots.
    pub async fn activate(&self, grant: &Grant) -> Result<(), ApiError> {
        let is_replaced =
            |other: &Grant| other.boot != grant.boot || other.mount.mount_path == grant.mount.mount_path;
        self.retain_grants(&|other| other.digest == grant.digest || !is_replaced(other))
            .await
    }

    /// Removes the grants of a path where nothing is mounted any more.
    pub async fn remove_grants_at(&self, path: &MountPath) -> Result<(), ApiError> {
        self.retain_grants(&|grant| grant.mount.mount_path != *path).await
    }

    /// Removes the grants of the boot with this id, which has ended, in the background.
    pub fn remove_grants_of_boot(self: &Rc<Self>, boot_id: String) {
        let core = self.clone();
        spawn_local(async move {
            if let Err(e) = core.retain_grants(&|grant| grant.boot != boot_id).await {
                core.log("grants not removed", None, &e.body().error);
            }
        });
    }

    /// Removes all grants, because no boot runs any more.
    pub async fn remove_all_grants(&self) -> Result<(), ApiError> {
        self.retain_grants(&|_| false).await
    }

    /// Removes the grants of boots whose end this object did not see.
    pub async fn sweep_grants(&self) {
        let swept = async {
            if self.grants().await?.is_empty() {
                return Ok(());
            }
            let boot = self.runtime.inspect().await?;
            let running = boot.as_ref().map(|boot| boot.id.as_str());
            self.retain_grants(&|grant| running == Some(grant.boot.as_str()))
                .await
        };
        let swept: Result<(), ApiError> = swept.await;
        if let Err(e) = swept {
            self.log("grants not checked", None, &e.body().error);
        }
    }

    /// Whether the boot with this id has mounts whose S3 requests go through this object.
    pub async fn has_grants(&self, boot_id: &str) -> Result<bool, ApiError> {
        let grants = self.grants().await?;
        Ok(grants.iter().any(|grant| grant.boot == boot_id))
    }

    /// The client's request for the mount of this boot at a path, if its S3 requests go through this
    /// object.
    pub async fn granted_mount(
        &self,
        boot_id: &str,
        path: &MountPath,
    ) -> Result<Option<MountRequest>, ApiError> {
        let grants = self.grants().await?;
        let mut of_boot = grants.iter().filter(|grant| grant.boot == boot_id);
        let grant = of_boot.find(|grant| grant.mount.mount_path == *path);
        Ok(grant.map(|grant| grant.mount.clone()))
    }

    async fn retain_grants(&self, keeps: &dyn Fn(&Grant) -> bool) -> Result<(), ApiError> {
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

/// Adds a grant to those of its boot and removes those of other boots. A mount whose response was
/// lost keeps its grant, hence the limit.
fn add(grants: &mut Vec<Rc<Grant>>, grant: Grant, limit: Limit) -> Result<(), ApiError> {
    grants.retain(|other| other.boot == grant.boot);
    if grants.len() as u64 >= limit.value.saturating_mul(2) {
        return Err(ApiError::Mount(format!(
            "too many mounts of this sandbox are active or unconfirmed: at most {}, twice {}; unmount some",
            limit.value.saturating_mul(2),
            limit.name
        )));
    }
    grants.push(Rc::new(grant));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(boot: &str) -> Grant {
        let mount =
            br#"{"bucket":"b","mountPath":"/m","options":{"endpoint":"http://h","credentialProxy":true,
            "prefix":"p","readOnly":true,"credentials":{"accessKeyId":"i","secretAccessKey":"s"}}}"#;
        Grant {
            digest: "0a".into(),
            boot: boot.into(),
            mount: MountRequest::parse(mount).unwrap(),
        }
    }

    #[test]
    fn a_boot_has_twice_as_many_as_mounts_at_most() {
        let mut grants = vec![Rc::new(grant("older"))];
        let limit = Limit {
            name: "SANDBOX_MAX_MOUNTS",
            value: 2,
        };
        for _ in 0..4 {
            add(&mut grants, grant("b"), limit).unwrap();
        }
        assert_eq!(grants.len(), 4, "those of the boot alone");
        let error = add(&mut grants, grant("b"), limit).unwrap_err();
        assert_eq!(error.parts().0, 502);
        assert!(error.body().error.contains("SANDBOX_MAX_MOUNTS"));
        add(&mut grants, grant("next"), limit).unwrap();
        assert_eq!(grants.len(), 1);
    }

    #[test]
    fn stored_form() {
        let grant = grant("b");
        let stored = grant.to_json().to_string();
        assert_eq!(Grant::read(&serde_json::from_str(&stored).unwrap()), Some(grant));
        assert_eq!(Grant::read(&Value::Null), None);
    }
}
