//! What is asked of the WarmPool object: by the Worker, and by Sandbox objects.

use serde::{Deserialize, Serialize};

/// The name of the one WarmPool object.
pub const POOL_NAME: &str = "global-pool";

/// A call to the WarmPool object: a `POST` on [`PoolCall::path`], with a JSON body where one is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolCall {
    /// Hand out a warm sandbox. Answer: [`Taken`].
    Take,
    /// A [`Report`]. Answer: 204.
    Report,
    /// A [`KeepQuestion`]. Answer: [`Kept`].
    Keep,
    /// Answer: [`PoolStats`].
    Stats,
    /// See to it that the pool fills up, now and from now on. Answer: 204, before it has.
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

/// What [`PoolCall::Take`] gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The id of a sandbox that runs and that nobody else has; `None` when there is none.
    pub id: Option<String>,
}

/// What a Sandbox object tells the pool of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The sandbox.
    pub id: String,
    /// What happened.
    pub news: News,
    /// When, by the clock of the Sandbox object, in milliseconds since 1970: reports can overtake each other.
    pub at_ms: u64,
}

/// What happened to a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// It runs and answers.
    Started,
    /// It does not run any more, for whatever reason.
    Stopped,
}

/// Asked by a Sandbox object before it goes to sleep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepQuestion {
    /// The sandbox.
    pub id: String,
}

/// Whether a sandbox must stay awake though it is idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// It waits for its first use.
    pub keep: bool,
}

/// The answer of `GET /v1/pool/stats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PoolStats {
    /// Sandboxes that run and wait to be handed out.
    pub warm: u32,
    /// Sandboxes that run for a client.
    pub assigned: u32,
    /// Both together.
    pub total: u32,
    /// How the pool is set up.
    pub config: PoolStatsConfig,
    /// The most sandboxes that can run, as configured or as the platform has let the pool know; `None` while unknown.
    pub max_instances: Option<u32>,
}

/// How the pool is set up, in [`PoolStats`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PoolStatsConfig {
    /// How many warm sandboxes there should be.
    pub warm_target: u32,
    /// Milliseconds between two looks at the pool.
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
            news: News::Started,
            at_ms: 5,
        };
        assert_eq!(json(&report), r#"{"id":"abc","news":"started","at_ms":5}"#);
        assert_eq!(json(&Taken { id: None }), r#"{"id":null}"#);
        assert_eq!(json(&KeepQuestion { id: "abc".into() }), r#"{"id":"abc"}"#);
        assert_eq!(json(&Kept { keep: true }), r#"{"keep":true}"#);
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
