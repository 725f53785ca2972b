use clap::Args;
use reqwest::Method;
use sandbox_protocol::{ProcessId, SandboxId};
use serde_json::json;

use super::{process_id, sandbox_id};
use crate::error::Result;
use crate::http::{Bridge, send};

/// Sends a signal to a process and all its children
#[derive(Args)]
#[command(after_help = "Example:\n  sandbar kill $id $process -s INT")]
pub struct Kill {
    /// The id of the sandbox
    #[arg(value_name = "ID", value_parser = sandbox_id)]
    id: SandboxId,
    /// The id of the process
    #[arg(value_name = "PROCESS", value_parser = process_id)]
    process: ProcessId,
    /// The name or the number of the signal
    #[arg(short, long, default_value = "TERM")]
    signal: String,
}

impl Kill {
    /// Sends the signal.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let signal = match self.signal.parse::<u32>() {
            Ok(number) => json!(number),
            Err(_) => json!(self.signal.to_ascii_uppercase()),
        };
        let path = format!("/process/{}/signal", self.process);
        let request = bridge.sandbox(Method::POST, &self.id, &path);
        send(request.json(&json!({ "signal": signal }))).await?;
        Ok(0)
    }
}
