//! Sandboxes as their users manage them: their settings, and what the API tells of them.

mod info;
mod instance;
mod list;
mod patch;
mod settings;

#[cfg(feature = "schema")]
mod schema;

pub use info::{EffectiveSettings, SandboxInfo, SandboxState, Saved, Setting, Status};
pub use instance::Instance;
pub use list::{DEFAULT_LIMIT, Label, ListCursor, ListQuery, MAX_LABELS_IN_QUERY, MAX_LIMIT, SandboxPage};
pub use patch::{CreateRequest, SettingsPatch};
pub use settings::{Settings, SleepAfter};

/// The largest body with settings, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 256;

/// The most labels of a sandbox.
pub const MAX_LABELS: usize = 64;

/// The longest key and the longest value of a label, in bytes.
pub const MAX_LABEL: usize = 128;

/// The largest environment of a sandbox: the bytes of all names and values.
pub const MAX_ENV: usize = 64 * 1024;

/// The longest `sleepAfter`, in hours: above it there is `keepAlive`.
pub const MAX_SLEEP_AFTER_HOURS: u64 = 24;

/// The longest `maxLifetime`, in hours: 366 days.
pub const MAX_LIFETIME_HOURS: u64 = 366 * 24;

/// The text from which the id of a sandbox with a name is derived, by its SHA-256 digest.
pub fn id_source(name: &str) -> String {
    format!("sandbar sandbox {name}")
}
