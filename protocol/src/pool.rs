//! The calls of the Worker and of Sandbox objects to the WarmPool object.

use serde::{Deserialize, Serialize};

/// The name of the one WarmPool object.
pub const POOL_NAME: &str = "global-pool";

/// A call to the WarmPool object: a `POST` on [`PoolCall::path`], with a JSON body where one is
/// named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolCall {
    /// Take a warm sandbox out of the pool. Answer: [`Taken`].
    Take,
    /// A [`Report`]. Answer: 204.
    Report,
    /// A [`KeepQuestion`]. Answer: [`KeepAnswer`].
    Keep,
    /// Answer: [`PoolStats`].
    Stats,
    /// Start to fill the pool, and keep it filled. Answer: 204, before it is full.
    Prime,
    /// Stop every warm sandbox. Answer: 204.
    ShutdownPrewarmed,
}

impl PoolCall {
    const ALL: [Self; 6] = [
        Self::Take,
        Self::Report,
        Self::Keep,
        Self::Stats,
        Self::Prime,
        Self::ShutdownPrewarmed,
    ];

    /// The path of the request.
    pub fn path(self) -> &'static str {
        match self {
            Self::Take => "/pool/take",
            Self::Report => "/pool/report",
            Self::Keep => "/pool/keep",
            Self::Stats => "/pool/stats",
            Self::Prime => "/pool/prime",
            Self::ShutdownPrewarmed => "/pool/shutdown-prewarmed",
        }
    }

    /// The call behind a path, if it is one.
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.path() == path)
    }
}

/// The answer of [`PoolCall::Take`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The id of a running sandbox that no other client has; `None` when there is none.
    pub id: Option<String>,
}

/// The report of a Sandbox object to the pool about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The sandbox.
    pub id: String,
    /// The event. The other name is for an object that still runs the previous version during a
    /// deploy.
    #[serde(alias = "news")]
    pub event: SandboxEvent,
    /// The time of the event by the clock of the Sandbox object, in milliseconds since 1970:
    /// reports can overtake each other.
    pub at_ms: u64,
}

/// An event in the life of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxEvent {
    /// It runs and answers.
    Started,
    /// It does not run any more, for whatever reason.
    Stopped,
}

/// The question of a Sandbox object before it goes to sleep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepQuestion {
    /// The sandbox.
    pub id: String,
}

/// Whether a sandbox must stay awake though it is idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAnswer {
    /// True while it waits for its first use.
    pub keep: bool,
}

/// The answer of `GET /v1/pool/stats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PoolStats {
    /// Warm sandboxes: they run and wait for a client.
    pub warm: u32,
    /// Sandboxes that run for clients.
    pub assigned: u32,
    /// The sum of both.
    pub total: u32,
    /// The configuration of the pool.
    pub config: PoolStatsConfig,
    /// The maximum of running sandboxes, as configured or as learned from the platform. `null`
    /// while it is unknown.
    pub max_instances: Option<u32>,
}

/// The configuration of the pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PoolStatsConfig {
    /// The target number of warm sandboxes.
    pub warm_target: u32,
    /// The interval between two checks of the pool, in milliseconds.
    pub refresh_interval: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
        for call in PoolCall::ALL {
            assert_eq!(PoolCall::from_path(call.path()), Some(call));
        }
        assert_eq!(PoolCall::from_path("/pool"), None);
    }

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn wire_forms() {
        let report = Report {
            id: "abc".into(),
            event: SandboxEvent::Started,
            at_ms: 5,
        };
        assert_eq!(json(&report), r#"{"id":"abc","event":"started","at_ms":5}"#);
        assert_eq!(json(&Taken { id: None }), r#"{"id":null}"#);
        assert_eq!(json(&KeepQuestion { id: "abc".into() }), r#"{"id":"abc"}"#);
        assert_eq!(json(&KeepAnswer { keep: true }), r#"{"keep":true}"#);
        let stats = PoolStats {
            warm: 2,
            assigned: 3,
            total: 5,
            config: PoolStatsConfig {
                warm_target: 2,
                refresh_interval: 10_000,
            },
            max_instances: None,
        };
        assert_eq!(
            json(&stats),
            r#"{"warm":2,"assigned":3,"total":5,"config":{"warmTarget":2,"refreshInterval":10000},"maxInstances":null}"#
        );
    }
}
