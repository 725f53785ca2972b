use clap::Args;
use sandbox_protocol::SandboxId;

use super::sandbox_id;
use crate::error::Result;
use crate::http::Bridge;
use crate::output::note;

/// Destroys sandboxes
#[derive(Args)]
#[command(after_help = "Example:\n  sandbar rm $id")]
pub struct Rm {
    /// The ids of the sandboxes
    #[arg(required = true, value_name = "ID", value_parser = sandbox_id)]
    ids: Vec<SandboxId>,
}

impl Rm {
    /// Destroys them, those behind one that fails, too.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let mut code = 0;
        for id in &self.ids {
            if let Err(error) = bridge.destroy(id).await {
                note(&format!("{id}: {error}"));
                code = 1;
            }
        }
        Ok(code)
    }
}
