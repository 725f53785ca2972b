use clap::Args;
use sandbox_protocol::sandbox::SandboxInfo;
use serde_json::Value;

use crate::error::Result;
use crate::http::{Bridge, query};
use crate::output::note;
use crate::settings::pair;
use crate::table;

/// Lists the sandboxes, the newest first
#[derive(Args)]
#[command(after_help = "Example:\n  sandbar ls --label team=docs --state running")]
pub struct Ls {
    /// Only those with this label. Several: those that have all of them
    #[arg(long = "label", value_name = "K=V", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Only those in this state
    #[arg(long, value_parser = ["new", "running", "stopped"])]
    state: Option<String>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl Ls {
    /// Prints the list.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect();
        let state = self.state.iter().map(|state| ("state", state.as_str()));
        let fields: Vec<_> = labels
            .iter()
            .map(|label| ("label", label.as_str()))
            .chain(state)
            .collect();
        let mut is_incomplete = false;
        let has_missing = |page: &Value| page.get("incomplete").is_some();
        let path = format!("/v1/sandbox{}", query(&fields));
        let sandboxes = bridge
            .pages(&path, "sandboxes", |page| is_incomplete |= has_missing(page))
            .await?;
        let columns = ["ID", "STATE", "CREATED", "NAME", "LABELS"];
        table::print(self.json, sandboxes, columns, |sandbox: SandboxInfo| {
            let labels = sandbox.labels.iter().map(|(key, value)| format!("{key}={value}"));
            let labels = labels.collect::<Vec<_>>().join(",");
            let state = sandbox.state.name().to_owned();
            [
                sandbox.id,
                state,
                sandbox.created_at,
                sandbox.name.unwrap_or_default(),
                labels,
            ]
        })?;
        if is_incomplete {
            note("a part of the index did not answer: sandboxes are missing in the list");
        }
        Ok(0)
    }
}
