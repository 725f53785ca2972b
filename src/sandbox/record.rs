//! The record of a sandbox: when it was created and started, its state and its settings. It is in the
//! object's storage, and outlives sleep, eviction and deploys.
//!
//! It is written when the sandbox is created with settings, changed, started, stopped or destroyed,
//! never for any other request. Each of these changes is [reported](super::report) to the index.

use std::cell::{Cell, RefCell};

use sandbox_protocol::sandbox::{Instance, SandboxState, Setting, Settings};
use sandbox_protocol::snapshot::Restoration;
use serde::{Deserialize, Serialize};

use super::Core;
use super::auto_save::LastSave;
use super::lifecycle::Boot;
use crate::clock::now_ms;
use crate::error::ApiError;

/// The storage key.
pub const KEY: &str = "record";

/// The record of a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The time of its creation, in milliseconds since 1970.
    pub created_ms: u64,
    /// The time of the last change of this record: later ones have later times.
    pub changed_ms: u64,
    /// The time of the last start.
    #[serde(default)]
    pub started_ms: Option<u64>,
    /// The state that was last seen.
    pub state: SandboxState,
    /// The settings.
    #[serde(default)]
    pub settings: Settings,
    /// The settings of the last start.
    #[serde(default)]
    pub started_with: StartSettings,
    /// Whether `sandboxd` does not have the present `env` yet.
    #[serde(default)]
    pub is_env_pending: bool,
    /// The shard of the index that has given the permit to run, if one is needed.
    #[serde(default)]
    pub permit: Option<u32>,
    /// The last save of the workspace by `autoSave`.
    #[serde(default)]
    pub last_save: Option<LastSave>,
    /// The reason why the workspace could not be saved since then.
    #[serde(default)]
    pub save_error: Option<String>,
    /// The time of that failure, in milliseconds since 1970.
    #[serde(default)]
    pub save_failed_ms: Option<u64>,
    /// The id of a boot whose workspace was not restored yet: it serves no request before.
    #[serde(default)]
    pub restoring_boot: Option<String>,
    /// The restore of the last start, if it restores a snapshot.
    #[serde(default)]
    pub restored: Option<Restoration>,
    /// The platform's name of the image of the last start, if file systems of its containers can be
    /// kept.
    #[serde(default)]
    pub started_image: Option<String>,
    /// Whether the sandbox was destroyed. The record is kept until the index knows.
    #[serde(default)]
    pub is_destroyed: bool,
    /// Whether the store may have saves of the sandbox that was destroyed.
    #[serde(default)]
    pub has_saves: bool,
}

/// The settings that apply to a start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartSettings {
    /// Whether the sandbox has no network.
    pub offline: bool,
    /// The name of its image.
    pub image: Option<String>,
    /// Its size.
    pub instance: Option<Instance>,
}

impl From<&Settings> for StartSettings {
    fn from(settings: &Settings) -> Self {
        Self {
            offline: settings.offline,
            image: settings.image.clone(),
            instance: settings.instance.clone(),
        }
    }
}

impl Record {
    /// The record of a sandbox that is created now.
    fn new(now_ms: u64) -> Self {
        Self {
            created_ms: now_ms,
            changed_ms: 0,
            started_ms: None,
            state: SandboxState::New,
            settings: Settings::default(),
            started_with: StartSettings::default(),
            is_env_pending: false,
            permit: None,
            last_save: None,
            save_error: None,
            save_failed_ms: None,
            restoring_boot: None,
            restored: None,
            started_image: None,
            is_destroyed: false,
            has_saves: false,
        }
    }

    /// Whether the workspace of this boot was not restored yet.
    pub fn is_to_be_restored(&self, boot: &Boot) -> bool {
        self.restoring_boot.as_ref() == Some(&boot.id)
    }

    /// The settings that take effect with the next start.
    pub fn pending(&self) -> Vec<Setting> {
        if self.state != SandboxState::Running {
            return Vec::new();
        }
        let (started, next) = (&self.started_with, StartSettings::from(&self.settings));
        [
            (Setting::Env, self.is_env_pending),
            (Setting::Internet, started.offline != next.offline),
            (Setting::Image, started.image != next.image),
            (Setting::Instance, started.instance != next.instance),
        ]
        .into_iter()
        .filter_map(|(setting, is_pending)| is_pending.then_some(setting))
        .collect()
    }
}

/// The record as the object holds it.
#[derive(Debug, Default)]
pub struct Records {
    /// The stored record; the outer `None` until it is first read.
    cached: RefCell<Option<Option<Record>>>,
    /// The `changed_ms` of the record that the index is known to have.
    pub reported_ms: Cell<u64>,
    /// The time at which the permit was given or renewed, as far as this object knows.
    pub permit_renewed_ms: Cell<u64>,
}

impl Core {
    /// The record, unless the sandbox never was or was destroyed.
    pub async fn record(&self) -> Result<Option<Record>, ApiError> {
        let record = self.stored_record().await?;
        Ok(record.filter(|record| !record.is_destroyed))
    }

    /// The record, also that of a sandbox that was destroyed.
    pub async fn stored_record(&self) -> Result<Option<Record>, ApiError> {
        if let Some(record) = self.records.cached.borrow().as_ref() {
            return Ok(record.clone());
        }
        let stored: Option<String> = self.storage.get(KEY).await?;
        let stored = stored.map(|json| serde_json::from_str(&json)).transpose()?;
        // Another request may have read it first, and have changed it.
        let mut cached = self.records.cached.borrow_mut();
        Ok(cached.get_or_insert(stored).clone())
    }

    /// Changes the record; makes one if there is none. `change` returns whether it has changed it.
    /// Returns the record. No change is lost: there is no `.await` between the reading and the
    /// writing.
    pub async fn change_record(
        &self,
        change: impl FnOnce(&mut Record) -> Result<bool, ApiError>,
    ) -> Result<Record, ApiError> {
        // Fills the cache.
        self.stored_record().await?;
        let now_ms = now_ms();
        let stored = self.records.cached.borrow().clone().flatten();
        let last_ms = stored.as_ref().map_or(0, |record| record.changed_ms);
        let mut record = stored
            .filter(|record| !record.is_destroyed)
            .unwrap_or_else(|| Record::new(now_ms));
        if !change(&mut record)? {
            return Ok(record);
        }
        record.changed_ms = now_ms.max(last_ms + 1);
        self.store_record(record.clone()).await?;
        Ok(record)
    }

    async fn store_record(&self, record: Record) -> Result<(), ApiError> {
        let json = serde_json::to_string(&record)?;
        *self.records.cached.borrow_mut() = Some(Some(record));
        if let Err(e) = self.storage.put(KEY, json).await {
            *self.records.cached.borrow_mut() = None;
            return Err(e.into());
        }
        Ok(())
    }

    /// Notes that the sandbox was destroyed. Nothing is written for one that has no record.
    pub async fn destroy_record(&self) -> Result<(), ApiError> {
        if self.record().await?.is_none() {
            return Ok(());
        }
        self.change_record(|record| {
            record.is_destroyed = true;
            record.has_saves = record.settings.auto_save.is_some() || record.last_save.is_some();
            record.settings = Settings::default();
            record.last_save = None;
            Ok(true)
        })
        .await
        .map(drop)
    }

    /// Forgets the permit, which was given back.
    pub fn forget_permit(&self) {
        if let Some(Some(record)) = self.records.cached.borrow_mut().as_mut() {
            record.permit = None;
        }
    }

    /// Forgets the record, which the caller deletes from the storage.
    pub fn forget_record(&self) {
        *self.records.cached.borrow_mut() = Some(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_settings_of_a_start_are_pending_while_the_sandbox_runs() {
        let mut record = Record::new(5);
        record.settings.offline = true;
        record.settings.image = Some("other".into());
        assert_eq!(record.pending(), []);
        record.state = SandboxState::Running;
        assert_eq!(record.pending(), [Setting::Internet, Setting::Image]);
        record.started_with = (&record.settings).into();
        assert_eq!(record.pending(), []);
        record.is_env_pending = true;
        assert_eq!(record.pending(), [Setting::Env]);
    }

    #[test]
    fn a_record_of_another_version_is_read() {
        let stored = r#"{"created_ms":1,"changed_ms":2,"state":"running","new_field":3}"#;
        let record: Record = serde_json::from_str(stored).unwrap();
        assert_eq!((record.changed_ms, record.state), (2, SandboxState::Running));
    }
}
