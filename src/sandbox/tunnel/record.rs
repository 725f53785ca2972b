//! What a Sandbox object remembers of a named tunnel, so that nothing of it stays at Cloudflare when the sandbox is
//! gone. Pure.

use std::time::Duration;

use sandbox_protocol::tunnel::TunnelName;
use sandbox_protocol::{Port, SandboxId};
use serde::Serialize;
use serde_json::Value;

/// How often it is looked whether the boot of a tunnel still runs: an end that nobody watched is found so.
const LOOK: Duration = Duration::from_secs(600);
/// The pause after the first failure to remove one; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// The longest comment that Cloudflare takes, in characters.
const MAX_COMMENT: usize = 100;

/// A named tunnel that exists at Cloudflare, or may: it is written down before anything is made there. What exactly
/// was made is found there, by the names in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Where it leads.
    pub port: Port,
    /// What the client calls it. One record a name.
    pub name: TunnelName,
    /// Its hostname.
    pub hostname: String,
    /// The account that it is in.
    pub account: String,
    /// The zone that its hostname is in.
    pub zone: String,
    /// The boot that it leads to; `None`: it is to be removed.
    pub boot: Option<String>,
    /// How often that has failed.
    pub failures: u32,
}

impl Record {
    /// Reads what was serialized. By hand: derived code for it would be the larger part of this module.
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

    /// What the tunnel is called at Cloudflare: the reference's form.
    pub fn tunnel_name(&self, sandbox: &SandboxId) -> String {
        format!("sandbox-{sandbox}-{}", self.name)
    }

    /// What marks the hostname's DNS record as ours: the reference's form. None where it would be too long.
    pub fn comment(sandbox: &SandboxId) -> Option<String> {
        Some(format!("sandbox-{sandbox}")).filter(|comment| comment.len() <= MAX_COMMENT)
    }

    /// Whether it must be removed before `wanted` can be made.
    pub fn is_in_the_way_of(&self, wanted: &Self) -> bool {
        let same = self.name == wanted.name && self.hostname == wanted.hostname;
        !same && (self.port == wanted.port || self.name == wanted.name)
    }

    /// Whether a boot that is not `running` is all that it led to.
    pub fn is_left_over(&self, running: Option<&str>) -> bool {
        self.boot.is_none() || self.boot.as_deref() != running
    }

    /// When to look at it again.
    pub fn pause(&self) -> Duration {
        match self.boot {
            Some(_) => LOOK,
            None => FIRST_PAUSE
                .saturating_mul(1 << self.failures.saturating_sub(1).min(20))
                .min(LONGEST_PAUSE),
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
    fn what_is_in_the_way() {
        let wanted = record("8080", "app");
        assert!(
            !record("8080", "app").is_in_the_way_of(&wanted),
            "it is used again"
        );
        assert!(
            !record("8081", "app").is_in_the_way_of(&wanted),
            "it is led elsewhere"
        );
        assert!(record("8080", "other").is_in_the_way_of(&wanted));
        assert!(!record("8081", "other").is_in_the_way_of(&wanted));
        let elsewhere = Record {
            hostname: "app.example.org".into(),
            ..record("8081", "app")
        };
        assert!(elsewhere.is_in_the_way_of(&wanted), "the zone was changed");
    }

    #[test]
    fn what_is_left_over() {
        let mut record = record("8080", "app");
        assert!(!record.is_left_over(Some("b")));
        assert!(record.is_left_over(Some("c")));
        assert!(record.is_left_over(None));
        record.boot = None;
        assert!(record.is_left_over(Some("b")));
        assert!(record.is_left_over(None));
    }

    #[test]
    fn pauses_double_up_to_a_day() {
        let mut record = record("8080", "app");
        assert_eq!(record.pause(), LOOK);
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
            assert_eq!(record.pause(), Duration::from_secs(seconds), "{failures}");
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
