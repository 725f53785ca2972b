use clap::Args;
use sandbox_protocol::SandboxId;
use sandbox_protocol::process::{Process, ProcessState};

use super::sandbox_id;
use crate::error::Result;
use crate::http::Bridge;
use crate::table;

/// Lists the processes of a sandbox, the newest first, also those that have ended
#[derive(Args)]
#[command(after_help = "Example:\n  sandbar ps $id --running")]
pub struct Ps {
    /// The id of the sandbox
    #[arg(value_name = "ID", value_parser = sandbox_id)]
    id: SandboxId,
    /// Only those that run
    #[arg(long)]
    running: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl Ps {
    /// Prints the list.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let state = if self.running { "?state=running" } else { "" };
        let path = format!("/v1/sandbox/{}/process{state}", self.id);
        let processes = bridge.pages(&path, "processes", |_| {}).await?;
        let columns = ["PROCESS", "STATE", "EXIT", "STARTED", "PORTS", "COMMAND"];
        table::print(self.json, processes, columns, |process: Process| {
            let state = match process.state {
                ProcessState::Running => "running",
                ProcessState::Exited => "exited",
                ProcessState::Failed => "failed",
            };
            let exit = process
                .exit
                .map_or_else(String::new, |exit| exit.exit_code.to_string());
            let ports = process
                .ports
                .iter()
                .map(u16::to_string)
                .collect::<Vec<_>>()
                .join(",");
            [
                process.id,
                state.to_owned(),
                exit,
                process.started_at,
                ports,
                process.argv.join(" "),
            ]
        })?;
        Ok(0)
    }
}
