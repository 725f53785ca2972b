//! The settings of one sandbox, over the configuration of the deployment.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Instance;
use crate::duration;
use crate::snapshot::{AutoSave, SnapshotId};

/// The settings of a sandbox, as its object stores them. `Default`: none is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// The name from which its id is derived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Variables of every later command, process and terminal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Labels, by which it can be listed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The idle time after which it is put to sleep: a duration, or `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sleep_after: Option<String>,
    /// Whether it is never put to sleep.
    #[serde(skip_serializing_if = "is_false")]
    pub keep_alive: bool,
    /// The duration after its creation at which it is destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<String>,
    /// Whether it is started without a network.
    #[serde(skip_serializing_if = "is_false")]
    pub offline: bool,
    /// The name of its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// The snapshot that its workspace begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// Whether, and how, its workspace is saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_save: Option<AutoSave>,
}

/// The idle time after which a sandbox is put to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SleepAfter {
    /// It never is.
    Never,
    /// This time.
    Idle(Duration),
}

impl SleepAfter {
    /// Parses a duration like `10m`, or `never`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "never" => Some(Self::Never),
            text => duration::parse(text).map(Self::Idle),
        }
    }

    /// The time; `None`: never.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Idle(after) => Some(after),
        }
    }
}

impl Settings {
    /// The idle time after which the sandbox is put to sleep; `default` is the deployment's.
    /// `None`: never.
    pub fn sleep_after(&self, default: Option<Duration>) -> Option<Duration> {
        if self.keep_alive {
            return None;
        }
        let own = self.sleep_after.as_deref().and_then(SleepAfter::parse);
        own.map_or(default, SleepAfter::duration)
    }

    /// The change that gives another sandbox these settings, but for the name.
    pub fn to_patch(&self) -> Map<String, Value> {
        let mut fields = match json!(self) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        fields.remove("name");
        if fields.remove("offline").is_some() {
            fields.insert("internet".to_owned(), false.into());
        }
        fields
    }

    /// The time, in milliseconds since 1970, at which a sandbox that was created at `created_ms` is
    /// destroyed.
    pub fn expires_at_ms(&self, created_ms: u64) -> Option<u64> {
        let lifetime = duration::parse(self.max_lifetime.as_deref()?)?;
        let lifetime = u64::try_from(lifetime.as_millis()).ok()?;
        Some(created_ms.saturating_add(lifetime))
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_takes_no_space() {
        let stored = serde_json::to_string(&Settings::default()).unwrap();
        assert_eq!(stored, "{}");
        assert_eq!(
            serde_json::from_str::<Settings>(&stored).unwrap(),
            Settings::default()
        );
    }

    #[test]
    fn what_an_older_or_newer_version_stored_is_read() {
        let stored = r#"{"name":"a","keepAlive":true,"future":{}}"#;
        let settings: Settings = serde_json::from_str(stored).unwrap();
        assert_eq!((settings.name.as_deref(), settings.keep_alive), (Some("a"), true));
    }

    #[test]
    fn a_copy_has_all_settings_but_the_name() {
        let body = r#"{"name":"a","env":{"A":"1"},"labels":{"b":"c"},"sleepAfter":"1h","keepAlive":true,
            "maxLifetime":"24h","internet":false,"image":"base","instance":"lite","autoSave":{"on":"sleep"}}"#;
        let mut settings = Settings::default();
        let patch = |body: &str| crate::sandbox::SettingsPatch::parse(body.as_bytes()).unwrap();
        patch(body).apply(&mut settings).unwrap();
        let mut copy = Settings::default();
        let fields = Value::Object(settings.to_patch()).to_string();
        patch(&fields).apply(&mut copy).unwrap();
        settings.name = None;
        assert_eq!(copy, settings);
    }

    #[test]
    fn sleep_and_lifetime() {
        let minute = Some(Duration::from_secs(60));
        let mut settings = Settings::default();
        assert_eq!(settings.sleep_after(minute), minute);
        settings.sleep_after = Some("2h".into());
        assert_eq!(settings.sleep_after(minute), Some(Duration::from_secs(7200)));
        settings.sleep_after = Some("never".into());
        assert_eq!(settings.sleep_after(minute), None);
        settings.sleep_after = Some("2h".into());
        settings.keep_alive = true;
        assert_eq!(settings.sleep_after(minute), None);
        assert_eq!(settings.expires_at_ms(5), None);
        settings.max_lifetime = Some("10s".into());
        assert_eq!(settings.expires_at_ms(5), Some(10_005));
    }
}
