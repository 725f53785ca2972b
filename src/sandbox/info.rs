//! The description of the sandbox, and changes of its settings.

use std::rc::Rc;
use std::time::Duration;

use sandbox_protocol::sandbox::{
    EffectiveSettings, MAX_BODY, SandboxInfo, SandboxState, SettingsPatch, Status, id_source,
};
use sandbox_protocol::sandboxd::{ENVIRONMENT, Environment, STATUS};
use sandbox_protocol::{Invalid, SandboxId, time};
use web_sys::Request;

use super::lifecycle::Boot;
use super::record::Record;
use super::{Core, sleep};
use crate::auth::sha256;
use crate::clock::now_ms;
use crate::error::ApiError;
use crate::snapshot;
use crate::{body, stub};

/// The timeout of a request for the status, and of one that sets the environment.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// The id of the sandbox with a name: nobody has to be asked for it.
pub async fn named_id(name: &str) -> Result<SandboxId, ApiError> {
    let digest = sha256(&id_source(name)).await?;
    let (first, _) = digest.split_at(16);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(first);
    Ok(SandboxId::from_random(bytes))
}

impl Core {
    /// The sandbox as clients see it. Starts nothing. Error: 404 for one that never was.
    pub async fn info(self: &Rc<Self>) -> Result<SandboxInfo, ApiError> {
        let boot = self.running_boot().await?;
        self.info_with(boot).await
    }

    /// As [`info`](Self::info), of a sandbox whose running boot is known.
    async fn info_with(self: &Rc<Self>, boot: Option<Boot>) -> Result<SandboxInfo, ApiError> {
        let record = match (&boot, self.record().await?) {
            (None, None) => return Err(ApiError::SandboxNotFound(self.id.clone())),
            // It was destroyed after the boot was seen.
            (Some(_), None)
                if self.stored_record().await?.is_some() && self.runtime.inspect().await?.is_none() =>
            {
                return Err(ApiError::SandboxNotFound(self.id.clone()));
            }
            // A version without records has started it.
            (Some(_), None) => self.mark_started().await?,
            (None, Some(record)) if record.state == SandboxState::Running => self.mark_stopped().await?,
            (_, Some(record)) => record,
        };
        let mut info = self.recorded_info(&record);
        if let Some(boot) = boot {
            info.state = SandboxState::Running;
            info.boot_id = Some(boot.id.clone());
            // An older sandboxd has no status, and one that ends has none any more.
            if let Some(status) = self.status(&boot).await {
                let last_active_ms = now_ms().saturating_sub(status.idle_ms);
                info.last_active_at = Some(time::from_ms(last_active_ms));
                info.ports = Some(status.ports);
                info.mounts = Some(status.mounts);
                info.tunnels = Some(status.tunnels);
            }
        }
        Ok(info)
    }

    /// The sandbox as it is in the record.
    pub fn recorded_info(&self, record: &Record) -> SandboxInfo {
        let settings = &record.settings;
        SandboxInfo {
            id: self.id.to_string(),
            name: settings.name.clone(),
            state: record.state,
            boot_id: None,
            created_at: time::from_ms(record.created_ms),
            started_at: record.started_ms.map(time::from_ms),
            last_active_at: None,
            expires_at: settings.expires_at_ms(record.created_ms).map(time::from_ms),
            saved: record.saved(),
            restored: record.restored_workspace().cloned(),
            labels: settings.labels.clone(),
            settings: EffectiveSettings::new(settings, &self.config.sleep_after_text),
            pending_restart: record.pending(),
            ports: None,
            mounts: None,
            tunnels: None,
        }
    }

    async fn status(&self, boot: &Boot) -> Option<Status> {
        let init = stub::with_timeout("GET", STATUS_TIMEOUT);
        let response = self.runtime.fetch(boot, STATUS, &init).await.ok()?;
        let text = stub::text(response.text()).await.ok()?;
        response.ok().then(|| serde_json::from_str(&text).ok()).flatten()
    }

    /// Changes the settings. What can take effect at once does. Starts nothing.
    pub async fn configure(self: &Rc<Self>, request: &Request) -> Result<SandboxInfo, ApiError> {
        let patch = SettingsPatch::parse(&body::read(request, MAX_BODY).await?)?;
        if patch.needs_store() {
            let store = self.store()?;
            if let Some(id) = patch.snapshot() {
                snapshot::manifest(&store, &id, now_ms()).await?;
            }
        }
        if let Some(name) = patch.name()
            && named_id(name).await? != self.id
        {
            return Err(Invalid::request("name cannot be changed: the id is derived from it").into());
        }
        let mut is_new = false;
        let record = self
            .change_record(|record| {
                let mut settings = record.settings.clone();
                patch.apply(&mut settings)?;
                if settings.name.is_none() && record.settings.name.is_some() {
                    return Err(Invalid::request("name cannot be removed: the id is derived from it").into());
                }
                self.runtime.check(&settings)?;
                is_new = record.changed_ms == 0;
                let is_changed = is_new || settings != record.settings;
                record.is_env_pending |= settings.env != record.settings.env;
                record.settings = settings;
                Ok(is_changed)
            })
            .await?;
        if is_new {
            self.set_report_alarm().await;
        }
        if record.settings.auto_save.is_none() {
            self.detach_save().await?;
        }
        let boot = self.running_boot().await?;
        if let Some(boot) = &boot {
            if record.is_env_pending {
                self.set_environment(boot).await?;
            }
            sleep::prepare(self).await;
        } else {
            sleep::set_lifetime_alarm(self, &record).await;
        }
        self.report_now().await;
        self.info_with(boot).await
    }

    /// Notes, before a boot is started, that it does not have the `env` yet: an object that finds the
    /// boot gives it to it.
    pub async fn plan_environment(&self) -> Result<(), ApiError> {
        self.change_record(|record| {
            let is_new = !record.settings.env.is_empty() && !record.is_env_pending;
            record.is_env_pending |= is_new;
            Ok(is_new)
        })
        .await
        .map(drop)
    }

    /// Gives `sandboxd` the present `env`. It stays pending with an older one, which does not take
    /// it. Error: 503.
    pub async fn set_environment(&self, boot: &Boot) -> Result<(), ApiError> {
        // Two at a time could arrive in the other order.
        let _guard = self.environment_lock.lock().await;
        let Some(record) = self.record().await? else {
            return Ok(());
        };
        let env = record.settings.env;
        let init = stub::with_timeout("PUT", STATUS_TIMEOUT);
        let headers = body::json_headers()?;
        init.set_headers(&headers);
        let body = serde_json::to_string(&Environment { env: env.clone() })?;
        init.set_body(&body.into());
        let response = self.runtime.fetch(boot, ENVIRONMENT, &init).await;
        let response = response.map_err(|e| {
            let text = format!("env could not be set: {}", worker::Error::from(e));
            ApiError::Unavailable(text)
        })?;
        if !response.ok() {
            self.log(
                "env not set",
                Some(&boot.id),
                &format!("status {}", response.status()),
            );
            return Ok(());
        }
        self.change_record(|record| {
            // Another request may have changed it meanwhile.
            let is_current = record.settings.env == env && record.is_env_pending;
            record.is_env_pending &= !is_current;
            Ok(is_current)
        })
        .await
        .map(drop)
    }
}
