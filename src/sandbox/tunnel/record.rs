//! The record that a Sandbox object stores of a named tunnel, so that nothing of it stays at
//! Cloudflare when the sandbox is gone. Pure.

use std::time::Duration;

use sandbox_protocol::tunnel::TunnelName;
use sandbox_protocol::{Port, SandboxId};
use serde::Serialize;
use serde_json::Value;

/// The interval at which the object checks that the boot of a tunnel still runs, to find ends
/// without a watch.
const CHECK_INTERVAL: Duration = Duration::from_secs(600);
/// The pause after the first failed removal; each further failure doubles it.
const INITIAL_BACKOFF: Duration = Duration::from_secs(10);
/// The maximum pause.
const MAX_BACKOFF: Duration = Duration::from_secs(24 * 3600);
/// The maximum length of a comment at Cloudflare, in characters.
const MAX_COMMENT: usize = 100;

/// A named tunnel that exists at Cloudflare, or may exist: it is stored before anything is created
/// there. The parts that were created are found there by the names in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The port that it leads to.
    pub port: Port,
    /// The client's name for it. There is one record per name.
    pub name: TunnelName,
    /// Its hostname.
    pub hostname: String,
    /// Its account.
    pub account: String,
    /// The zone of its hostname.
    pub zone: String,
    /// The boot that it leads to; `None`: it is to be removed.
    pub boot: Option<String>,
    /// The number of failed removals.
    pub failures: u32,
}

impl Record {
    /// Reads the stored form. By hand, because derived code would be the larger part of this
    /// module.
    pub fn read(stored: &Value) -> Option<Self> {
        let text = |name: &str| stored.get(name)?.as_str().map(str::to_owned);
        let number = |name: &str| stored.get(name)?.as_u64();
        Some(Self {
            port: Port::try_from(u16::try_from(number("port")?).ok()?).ok()?,
            name: TunnelName::parse(&text("name")?).ok()?,
            hostname: text("hostname")?,
            account: text("account")?,
            zone: text("zone")?,
            boot: text("boot"),
            failures: u32::try_from(number("failures")?).ok()?,
        })
    }

    /// The name of the tunnel at Cloudflare, in the reference's form.
    pub fn tunnel_name(&self, sandbox: &SandboxId) -> String {
        format!("sandbox-{sandbox}-{}", self.name)
    }

    /// The comment that marks the hostname's DNS record as this sandbox's, in the reference's form.
    /// None where it would be too long.
    pub fn comment(sandbox: &SandboxId) -> Option<String> {
        Some(format!("sandbox-{sandbox}")).filter(|comment| comment.len() <= MAX_COMMENT)
    }

    /// Whether it must be removed before `wanted` can be created.
    pub fn conflicts_with(&self, wanted: &Self) -> bool {
        let same = self.name == wanted.name && self.hostname == wanted.hostname;
        !same && (self.port == wanted.port || self.name == wanted.name)
    }

    /// Whether its boot is not the `running` one.
    pub fn is_orphaned(&self, running: Option<&str>) -> bool {
        self.boot.is_none() || self.boot.as_deref() != running
    }

    /// The time until its next check or removal.
    pub fn next_attempt(&self) -> Duration {
        match self.boot {
            Some(_) => CHECK_INTERVAL,
            None => INITIAL_BACKOFF
                .saturating_mul(1 << self.failures.saturating_sub(1).min(20))
                .min(MAX_BACKOFF),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(port: &str, name: &str) -> Record {
        Record {
            port: Port::parse(port).unwrap(),
            name: TunnelName::parse(name).unwrap(),
            hostname: format!("{name}.example.com"),
            account: "a".into(),
            zone: "z".into(),
            boot: Some("b".into()),
            failures: 0,
        }
    }

    #[test]
    fn stored_form() {
        let stored = r#"{"port":8080,"name":"app","hostname":"app.example.com","account":"a","zone":"z","boot":"b","failures":0}"#;
        assert_eq!(serde_json::to_string(&record("8080", "app")).unwrap(), stored);
        let mut read = Record::read(&serde_json::from_str(stored).unwrap()).unwrap();
        assert_eq!(read, record("8080", "app"));
        read.boot = None;
        let stored = serde_json::to_value(&read).unwrap();
        assert_eq!(Record::read(&stored), Some(read));
        assert_eq!(Record::read(&Value::Null), None);
    }

    #[test]
    fn records_that_conflict() {
        let wanted = record("8080", "app");
        assert!(!record("8080", "app").conflicts_with(&wanted), "it is used again");
        assert!(
            !record("8081", "app").conflicts_with(&wanted),
            "it is led elsewhere"
        );
        assert!(record("8080", "other").conflicts_with(&wanted));
        assert!(!record("8081", "other").conflicts_with(&wanted));
        let elsewhere = Record {
            hostname: "app.example.org".into(),
            ..record("8081", "app")
        };
        assert!(elsewhere.conflicts_with(&wanted), "the zone was changed");
    }

    #[test]
    fn records_that_are_orphaned() {
        let mut record = record("8080", "app");
        assert!(!record.is_orphaned(Some("b")));
        assert!(record.is_orphaned(Some("c")));
        assert!(record.is_orphaned(None));
        record.boot = None;
        assert!(record.is_orphaned(Some("b")));
        assert!(record.is_orphaned(None));
    }

    #[test]
    fn the_backoff_doubles_up_to_a_day() {
        let mut record = record("8080", "app");
        assert_eq!(record.next_attempt(), CHECK_INTERVAL);
        record.boot = None;
        for (failures, seconds) in [
            (0, 10),
            (1, 10),
            (2, 20),
            (5, 160),
            (20, 86_400),
            (u32::MAX, 86_400),
        ] {
            record.failures = failures;
            assert_eq!(record.next_attempt(), Duration::from_secs(seconds), "{failures}");
        }
    }

    #[test]
    fn names_at_cloudflare() {
        let id = SandboxId::parse("abc").unwrap();
        assert_eq!(record("8080", "app").tunnel_name(&id), "sandbox-abc-app");
        assert_eq!(Record::comment(&id).as_deref(), Some("sandbox-abc"));
        let long = SandboxId::parse(&"a".repeat(128)).unwrap();
        assert_eq!(Record::comment(&long), None);
    }
}
