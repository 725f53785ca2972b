use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::arguments::Arguments;
use crate::error::Result;

/// Prints the completions for a shell
#[derive(Args)]
#[command(
    after_help = "Example:\n  sandbar completions bash > ~/.local/share/bash-completion/completions/sandbar"
)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(&self) -> Result<u8> {
        let mut script = Vec::new();
        generate(self.shell, &mut Arguments::command(), "sandbar", &mut script);
        crate::output::write_all(&script)?;
        Ok(0)
    }
}
