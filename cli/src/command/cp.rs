mod archive;
mod download;
mod location;
mod upload;

use clap::Args;

use self::location::Location;
use crate::error::{Error, Result};
use crate::http::Bridge;

/// Copies files and directories to a sandbox, or from one
///
/// Paths of a sandbox are absolute, or relative to /workspace. A file or directory is copied into a
/// directory that exists, and under the given name otherwise. SOURCE/. stands for what is in a
/// directory. - is standard input or output, for one file.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sandbar cp data.csv $id:\n  sandbar cp $id:/workspace/out ./out\n  \
    sandbar cp $id:log.txt - | tail"
)]
pub struct Cp {
    /// The file or directory to copy: PATH, ID:PATH, or -
    source: String,
    /// Its destination: PATH, ID:PATH, or -
    #[arg(value_name = "DEST")]
    destination: String,
}

impl Cp {
    /// Copies.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        match (
            Location::parse(&self.source)?,
            Location::parse(&self.destination)?,
        ) {
            (Location::Sandbox(source), destination) if !matches!(destination, Location::Sandbox(_)) => {
                download::copy(bridge, &source, destination).await?;
            }
            (source, Location::Sandbox(destination)) if !matches!(source, Location::Sandbox(_)) => {
                upload::copy(bridge, source, &destination).await?;
            }
            _ => {
                let message = "one of SOURCE and DEST, and not both, must be ID:PATH of a sandbox";
                return Err(Error::Usage(message.to_owned()));
            }
        }
        Ok(0)
    }
}
