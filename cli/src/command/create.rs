use clap::Args;

use crate::error::Result;
use crate::http::Bridge;
use crate::output::{note, print};
use crate::settings::Settings;

/// Creates a sandbox, and prints its id
#[derive(Args)]
#[command(after_help = "Example:\n  id=$(sandbar create --env GREETING=hello --label team=docs)")]
pub struct Create {
    #[command(flatten)]
    settings: Settings,
}

impl Create {
    /// Creates the sandbox.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let id = self.settings.create(bridge).await?;
        // Otherwise nobody could find it.
        print(&id.to_string()).inspect_err(|_| note(&format!("the id of the sandbox is {id}")))?;
        Ok(0)
    }
}
