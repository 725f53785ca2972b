//! The mounts and processes of a sandbox that was put to sleep. After a restore, buckets are mounted
//! again, then processes with `restart` are started again. The list is kept in the object's storage, as
//! it has credentials and variables.

use std::rc::Rc;

use sandbox_protocol::snapshot::Resume;
use sandbox_protocol::{MountRequest, sandboxd};
use serde_json::value::RawValue;
use web_sys::{Request, Response};

use super::call::{json_body, response_error};
use super::lifecycle::Boot;
use super::{Core, own_request};
use crate::error::ApiError;

/// The storage key.
pub const KEY: &str = "resume";

impl Core {
    /// Stores what runs now. A failure is logged: the files are saved all the same.
    pub async fn note_resume(self: &Rc<Self>, boot: &Boot) {
        let noted = async {
            let mut resume: Resume =
                json_body(self.call::<()>(boot, "GET", sandboxd::RESUME, None).await?).await?;
            for mount in &mut resume.mounts {
                // sandboxd has a token in the place of credentials that stay here.
                let known = MountRequest::parse(mount.get().as_bytes())?;
                if let Some(original) = self.granted_mount(&boot.id, &known.mount_path).await? {
                    *mount = RawValue::from_string(original.to_json())?;
                }
            }
            match resume.mounts.is_empty() && resume.processes.is_empty() {
                true => Ok::<_, ApiError>(self.storage.delete(KEY).await.map(drop)?),
                false => Ok(self.storage.put(KEY, serde_json::to_string(&resume)?).await?),
            }
        };
        if let Err(e) = noted.await {
            self.log("mounts and processes not noted", Some(&boot.id), &e.body().error);
        }
    }

    /// Mounts and starts again what ran, in a boot whose workspace was restored. A failure is logged,
    /// and the rest goes on.
    pub async fn resume(self: &Rc<Self>, boot: &Boot) {
        let stored = self.storage.get::<String>(KEY).await;
        let Ok(Some(json)) = stored else {
            return;
        };
        let resume = serde_json::from_str::<Resume>(&json).unwrap_or_default();
        for mount in &resume.mounts {
            let mounted = self.mount_again(boot, mount.get()).await;
            self.log_failure("bucket not mounted again", boot, mounted).await;
        }
        for process in &resume.processes {
            let started = async {
                let request = own_request("POST", Some(process.get()))?;
                self.send(boot, sandboxd::PROCESS, &request).await
            };
            let started = started.await;
            self.log_failure("process not started again", boot, started).await;
        }
    }

    async fn mount_again(self: &Rc<Self>, boot: &Boot, json: &str) -> Result<Response, ApiError> {
        let mount = MountRequest::parse(json.as_bytes())?;
        if mount.is_proxied() {
            return self.mount_by_grant(boot, mount).await;
        }
        let request: Request = own_request("POST", Some(json))?;
        self.send(boot, sandboxd::MOUNT, &request).await
    }

    async fn log_failure(&self, what: &str, boot: &Boot, result: Result<Response, ApiError>) {
        let error = match result {
            Ok(response) if response.ok() => return,
            Ok(response) => response_error(response).await,
            Err(e) => e,
        };
        self.log(what, Some(&boot.id), &error.body().error);
    }
}
