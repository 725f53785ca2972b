//! Changes of settings: the bodies of `POST /v1/sandbox` and `PATCH /v1/sandbox/{id}`.
//!
//! A change is a JSON merge patch (RFC 7396): a field that is given is set, one that is `null` is
//! set back to its default, all others stay. `env` and `labels` are merged by their names.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    Instance, MAX_ENV, MAX_LABEL, MAX_LABELS, MAX_LIFETIME_HOURS, MAX_NAME, MAX_SLEEP_AFTER_HOURS, Settings,
    SleepAfter,
};
use crate::exec::env;
use crate::json::{self, field};
use crate::snapshot::{AutoSave, SnapshotId};
use crate::{Invalid, SandboxId, duration};

/// The fields that are settings.
const FIELDS: [&str; 11] = [
    "name",
    "env",
    "labels",
    "sleepAfter",
    "keepAlive",
    "maxLifetime",
    "internet",
    "image",
    "instance",
    "snapshot",
    "autoSave",
];

/// A change of settings, whose fields have been checked. Unknown fields are ignored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SettingsPatch {
    fields: Map<String, Value>,
}

/// The body of `POST /v1/sandbox`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRequest {
    /// The id that the client has chosen.
    pub id: Option<SandboxId>,
    /// The settings.
    pub settings: SettingsPatch,
}

impl SettingsPatch {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        Self::from_fields(json::optional_object(body)?)
    }

    fn from_fields(mut fields: Map<String, Value>) -> Result<Self, Invalid> {
        fields.retain(|name, _| FIELDS.contains(&name.as_str()));
        let patch = Self { fields };
        // Checks every field.
        patch.apply(&mut Settings::default())?;
        Ok(patch)
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The name that it sets.
    pub fn name(&self) -> Option<&str> {
        field(&self.fields, "name").and_then(Value::as_str)
    }

    /// The id of the snapshot that it sets.
    pub fn snapshot(&self) -> Option<SnapshotId> {
        let id = field(&self.fields, "snapshot").and_then(Value::as_str)?;
        SnapshotId::parse(id).ok()
    }

    /// Whether it sets something that needs a store of snapshots.
    pub fn needs_store(&self) -> bool {
        let fields = ["snapshot", "autoSave"];
        fields.iter().any(|name| field(&self.fields, name).is_some())
    }

    /// Whether it sets something that takes effect with a start.
    pub fn needs_start(&self) -> bool {
        let fields = ["internet", "image", "instance", "snapshot"];
        fields.iter().any(|name| field(&self.fields, name).is_some())
    }

    /// Changes `settings`, or leaves them as they are.
    ///
    /// # Errors
    ///
    /// 400 for a field, or for limits that the result exceeds. The message names the field.
    pub fn apply(&self, settings: &mut Settings) -> Result<(), Invalid> {
        let mut changed = settings.clone();
        for (name, value) in &self.fields {
            apply_field(&mut changed, name, value)?;
        }
        check(&changed)?;
        *settings = changed;
        Ok(())
    }
}

impl CreateRequest {
    /// Parses a JSON body. `None`: it has none of our fields, as those of clients of other services.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, Invalid> {
        let fields = json::optional_object(body)?;
        let id = match field(&fields, "id") {
            None => None,
            Some(Value::String(id)) => Some(SandboxId::parse(id)?),
            Some(_) => return Err(Invalid::request("id must be a string")),
        };
        let settings = SettingsPatch::from_fields(fields)?;
        let is_empty = id.is_none() && settings.fields.values().all(Value::is_null);
        Ok((!is_empty).then_some(Self { id, settings }))
    }
}

fn apply_field(settings: &mut Settings, name: &str, value: &Value) -> Result<(), Invalid> {
    let text = |name: &str| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(Invalid::request(format!("{name} must be a string"))),
    };
    let flag = |default: bool| match value {
        Value::Null => Ok(default),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(Invalid::request(format!("{name} must be a boolean"))),
    };
    match name {
        "name" => settings.name = text(name)?.map(checked_name).transpose()?,
        "env" => {
            // Checks the names and values, the names of variables that are removed included.
            env(&with_empty_texts(value))?;
            merge(&mut settings.env, name, value)?;
        }
        "labels" => {
            let mut keys = value.as_object().into_iter().flat_map(Map::keys);
            if !keys.all(|key| is_label_key(key)) {
                return Err(wrong_labels());
            }
            merge(&mut settings.labels, name, value)?;
        }
        "sleepAfter" => settings.sleep_after = text(name)?.map(checked_sleep_after).transpose()?,
        "keepAlive" => settings.keep_alive = flag(false)?,
        "maxLifetime" => settings.max_lifetime = text(name)?.map(checked_lifetime).transpose()?,
        "internet" => settings.offline = !flag(true)?,
        "image" => settings.image = text(name)?.map(checked_image).transpose()?,
        "instance" => {
            settings.instance = match value {
                Value::Null => None,
                value => Some(Instance::try_from(value.clone())?),
            };
        }
        "snapshot" => {
            settings.snapshot = text(name)?.as_deref().map(SnapshotId::parse).transpose()?;
        }
        "autoSave" => {
            settings.auto_save = match value {
                Value::Null => None,
                value => Some(AutoSave::from_value(value)?),
            };
        }
        _ => {}
    }
    Ok(())
}

/// An object with empty texts in the place of `null`.
fn with_empty_texts(value: &Value) -> Value {
    match value {
        Value::Null => Value::Object(Map::new()),
        Value::Object(fields) => {
            let text = |value: &Value| if value.is_null() { "".into() } else { value.clone() };
            let texts = fields.iter().map(|(name, value)| (name.clone(), text(value)));
            Value::Object(texts.collect())
        }
        other => other.clone(),
    }
}

fn merge(texts: &mut BTreeMap<String, String>, field: &str, patch: &Value) -> Result<(), Invalid> {
    let fields = match patch {
        Value::Null => {
            texts.clear();
            return Ok(());
        }
        Value::Object(fields) => fields,
        _ => return Err(Invalid::request(format!("{field} must be an object of strings"))),
    };
    for (name, value) in fields {
        match value {
            Value::Null => drop(texts.remove(name)),
            Value::String(text) => drop(texts.insert(name.clone(), text.clone())),
            _ => return Err(Invalid::request(format!("{field}.{name} must be a string"))),
        }
    }
    Ok(())
}

/// The rules of settings as a whole.
fn check(settings: &Settings) -> Result<(), Invalid> {
    let size = |(name, value): (&String, &String)| name.len() + value.len();
    if settings.env.iter().map(size).sum::<usize>() > MAX_ENV {
        return Err(Invalid::request(format!(
            "env must have at most {MAX_ENV} bytes, names and values together"
        )));
    }
    let is_value = |value: &String| value.len() <= MAX_LABEL && !value.chars().any(char::is_control);
    if settings.labels.len() > MAX_LABELS || !settings.labels.values().all(is_value) {
        return Err(wrong_labels());
    }
    Ok(())
}

fn is_label_key(key: &str) -> bool {
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    (1..=MAX_LABEL).contains(&key.len()) && key.chars().all(is_of_key)
}

fn wrong_labels() -> Invalid {
    Invalid::request(format!(
        "labels must be at most {MAX_LABELS}, with keys of 1 to {MAX_LABEL} characters a-zA-Z0-9._/- and values of at most \
         {MAX_LABEL} bytes without control characters"
    ))
}

fn checked_name(name: String) -> Result<String, Invalid> {
    let is_name = (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
    if is_name {
        return Ok(name);
    }
    Err(Invalid::request(format!(
        "name must have 1 to {MAX_NAME} bytes, without control characters"
    )))
}

fn checked_image(name: String) -> Result<String, Invalid> {
    let is_name = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_name {
        return Ok(name);
    }
    Err(Invalid::request(
        "image must be the name of an image of the deployment",
    ))
}

fn checked_sleep_after(text: String) -> Result<String, Invalid> {
    let longest = hours(MAX_SLEEP_AFTER_HOURS);
    match SleepAfter::parse(&text) {
        Some(SleepAfter::Never) => Ok(text),
        Some(SleepAfter::Idle(after)) if after <= longest => Ok(text),
        _ => Err(Invalid::request(format!(
            "sleepAfter must be a duration like 10m of at most {MAX_SLEEP_AFTER_HOURS}h, or never"
        ))),
    }
}

fn checked_lifetime(text: String) -> Result<String, Invalid> {
    let longest = hours(MAX_LIFETIME_HOURS);
    match duration::parse(&text) {
        Some(lifetime) if lifetime <= longest => Ok(text),
        _ => Err(Invalid::request(format!(
            "maxLifetime must be a duration like 24h, of at most {MAX_LIFETIME_HOURS}h"
        ))),
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

#[cfg(test)]
mod tests;
