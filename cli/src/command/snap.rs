use clap::{Args, Subcommand};
use reqwest::Method;
use sandbox_protocol::snapshot::Snapshot;
use sandbox_protocol::{SandboxId, SnapshotId};
use serde_json::{Map, Value, json};

use super::sandbox_id;
use crate::error::Result;
use crate::http::{Bridge, json as read_json, query, retry_if_lost, send};
use crate::output::{note, print};
use crate::table;

/// Makes a snapshot of a sandbox and prints its id; lists, restores and deletes snapshots
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(
    after_help = "Examples:\n  sid=$(sandbar snap $id --name before --ttl 72h)\n  sandbar snap restore $id $sid"
)]
pub struct Snap {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    make: Make,
}

#[derive(Args)]
struct Make {
    /// The id of the sandbox
    #[arg(value_name = "ID", value_parser = sandbox_id, required = true)]
    id: Option<SandboxId>,
    /// A text for people
    #[arg(long)]
    name: Option<String>,
    /// The directory [default: /workspace]
    #[arg(long, value_name = "PATH")]
    dir: Option<String>,
    /// A pattern of what is left out. Several are possible
    #[arg(long = "exclude", value_name = "PATTERN")]
    excludes: Vec<String>,
    /// The time after which it is deleted, like 72h [default: never]
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// Lists the snapshots, the newest first
    Ls {
        /// Only those of this sandbox
        #[arg(long, value_name = "ID", value_parser = sandbox_id)]
        sandbox: Option<SandboxId>,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Deletes snapshots
    Rm {
        /// The ids of the snapshots
        #[arg(required = true, value_name = "SID", value_parser = snapshot_id)]
        ids: Vec<SnapshotId>,
    },
    /// Replaces the directory of a sandbox by that of a snapshot, as a whole or not at all
    Restore {
        /// The id of the sandbox
        #[arg(value_name = "ID", value_parser = sandbox_id)]
        id: SandboxId,
        /// The id of the snapshot
        #[arg(value_name = "SID", value_parser = snapshot_id)]
        snapshot: SnapshotId,
    },
}

fn snapshot_id(text: &str) -> std::result::Result<SnapshotId, sandbox_protocol::Invalid> {
    SnapshotId::parse(text)
}

impl Snap {
    /// Does what the arguments say.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        match (self.action, &self.make.id) {
            (Some(Action::Ls { sandbox, json }), _) => list(bridge, sandbox.as_ref(), json).await,
            (Some(Action::Rm { ids }), _) => Ok(delete(bridge, &ids).await),
            (Some(Action::Restore { id, snapshot }), _) => {
                let body = json!({ "snapshot": snapshot });
                let request = bridge.sandbox(Method::POST, &id, "/restore").json(&body);
                read_json::<Value>(request).await?;
                Ok(0)
            }
            (None, Some(id)) => self.make.make(bridge, id).await,
            // The arguments are required.
            (None, None) => Ok(1),
        }
    }
}

impl Make {
    async fn make(&self, bridge: &Bridge, id: &SandboxId) -> Result<u8> {
        let excludes = if self.excludes.is_empty() {
            Value::Null
        } else {
            json!(self.excludes)
        };
        let fields = [
            ("name", json!(self.name)),
            ("dir", json!(self.dir)),
            ("excludes", excludes),
            ("ttl", json!(self.ttl)),
        ];
        let given = fields.into_iter().filter(|(_, value)| !value.is_null());
        let body: Map<String, Value> = given.map(|(name, value)| (name.to_owned(), value)).collect();
        let request = bridge.sandbox(Method::POST, id, "/snapshot").json(&body);
        let snapshot: Snapshot = read_json(request).await?;
        if snapshot.changed > 0 {
            note(&format!(
                "{} files were changed while they were read",
                snapshot.changed
            ));
        }
        print(&snapshot.id.to_string())?;
        Ok(0)
    }
}

async fn list(bridge: &Bridge, sandbox: Option<&SandboxId>, as_json: bool) -> Result<u8> {
    let field = sandbox.map(|id| ("sandbox", id.as_str()));
    let path = format!("/v1/snapshot{}", query(field.as_slice()));
    let snapshots = bridge.pages(&path, "snapshots", |_| {}).await?;
    let columns = ["SNAPSHOT", "SANDBOX", "CREATED", "SIZE", "DIRECTORY", "NAME"];
    table::print(as_json, snapshots, columns, |snapshot: Snapshot| {
        let size = table::bytes(snapshot.size);
        let name = snapshot.name.unwrap_or_default();
        [
            snapshot.id.to_string(),
            snapshot.sandbox,
            snapshot.created_at,
            size,
            snapshot.dir,
            name,
        ]
    })?;
    Ok(0)
}

async fn delete(bridge: &Bridge, ids: &[SnapshotId]) -> u8 {
    let mut code = 0;
    for id in ids {
        let path = format!("/v1/snapshot/{id}");
        if let Err(error) = retry_if_lost(async || send(bridge.request(Method::DELETE, &path)).await).await {
            note(&format!("{id}: {error}"));
            code = 1;
        }
    }
    code
}
