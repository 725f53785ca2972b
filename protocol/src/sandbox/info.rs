//! The description of a sandbox that the API gives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Instance, Settings};
#[cfg(feature = "schema")]
use crate::schema::Time;
use crate::snapshot::{AutoSave, Restoration, SnapshotId};
use crate::tunnel::Tunnel;

/// The state of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SandboxState {
    /// It has never run.
    New,
    /// It runs.
    Running,
    /// It ran, and sleeps or has ended. The next operation that needs it starts it again.
    Stopped,
}

impl SandboxState {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::New, Self::Running, Self::Stopped];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// A setting that takes effect with the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "they are the fields of the settings")]
pub enum Setting {
    Env,
    Internet,
    Image,
    Instance,
}

/// A sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SandboxInfo {
    /// Its id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::SandboxId"))]
    pub id: String,
    /// The name from which its id is derived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its state.
    pub state: SandboxState,
    /// The id of the boot that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The time at which it was created: by a request with settings, or by its first start.
    #[cfg_attr(feature = "schema", schemars(with = "Time"))]
    pub created_at: String,
    /// The time of its last start.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Time>"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// The time at which a command or a request was last under way. Only of one that runs, and not
    /// in lists.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Time>"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_active_at: Option<String>,
    /// The time at which its `maxLifetime` ends and it is destroyed.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Time>"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The last time at which its workspace was saved by `autoSave`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
    /// The snapshot that its last start restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restoration>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its other settings.
    pub settings: EffectiveSettings,
    /// The settings that were changed since its last start and take effect with the next one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_restart: Vec<Setting>,
    /// The TCP ports on which its processes listen. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
    /// The directories at which buckets are mounted. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Vec<String>>,
    /// Its open tunnels. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<Vec<Tunnel>>,
}

/// The last `autoSave` of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// The snapshot, which the next start restores.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::snapshot::schema::Id>"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// The time at which the workspace was last saved, or found unchanged.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Time>"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Why it could not be saved since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The settings that apply to a sandbox, those of the deployment included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EffectiveSettings {
    /// The names of the variables in `env`. Their values are never shown.
    pub env: Vec<String>,
    /// The idle time after which it is put to sleep, or `never`.
    pub sleep_after: String,
    /// Whether it is never put to sleep.
    pub keep_alive: bool,
    /// The duration after its creation at which it is destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<String>,
    /// Whether it has a network.
    pub internet: bool,
    /// The name of its image, if it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its size, if it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// The snapshot that its workspace begins with.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::snapshot::schema::Id>"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// Whether, and how, its workspace is saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_save: Option<AutoSave>,
}

impl EffectiveSettings {
    /// The settings of a deployment whose sandboxes sleep after `sleep_after` by default.
    pub fn new(settings: &Settings, sleep_after: &str) -> Self {
        let own = settings.sleep_after.as_deref();
        Self {
            env: settings.env.keys().cloned().collect(),
            sleep_after: own.unwrap_or(sleep_after).to_owned(),
            keep_alive: settings.keep_alive,
            max_lifetime: settings.max_lifetime.clone(),
            internet: !settings.offline,
            image: settings.image.clone(),
            instance: settings.instance.clone(),
            snapshot: settings.snapshot.clone(),
            auto_save: settings.auto_save.clone(),
        }
    }
}

/// The answer of `GET /status` of `sandboxd`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Milliseconds since the last command or request ended; 0 while there is one.
    pub idle_ms: u64,
    /// The TCP ports on which processes of the sandbox listen.
    pub ports: Vec<u16>,
    /// The directories at which buckets are mounted.
    pub mounts: Vec<String>,
    /// The open tunnels.
    pub tunnels: Vec<Tunnel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_variables_are_not_shown() {
        let settings = Settings {
            env: [("TOKEN".to_owned(), "secret".to_owned())].into(),
            offline: true,
            ..Settings::default()
        };
        let shown = serde_json::to_string(&EffectiveSettings::new(&settings, "10m")).unwrap();
        assert_eq!(
            shown,
            r#"{"env":["TOKEN"],"sleepAfter":"10m","keepAlive":false,"internet":false}"#
        );
    }

    #[test]
    fn states_read_back() {
        for state in [SandboxState::New, SandboxState::Running, SandboxState::Stopped] {
            assert_eq!(SandboxState::parse(state.name()), Some(state));
            assert_eq!(
                serde_json::to_string(&state).unwrap(),
                format!("{:?}", state.name())
            );
        }
        assert_eq!(SandboxState::parse("asleep"), None);
    }
}
