//! The arguments of the program.

use clap::{Parser, Subcommand};

use crate::command::{completions, cp, create, exec, kill, logs, ls, mcp, port, ps, rm, run, sh, snap};
use crate::error::{Error, Result};
use crate::http::Bridge;

/// Names the variable of the bridge's address.
const URL_VARIABLE: &str = "SANDBOX_URL";

/// Names the variable of the key.
pub const KEY_VARIABLE: &str = "SANDBOX_API_KEY";

/// Runs commands in Linux sandboxes.
///
/// The variables SANDBOX_URL and SANDBOX_API_KEY name the bridge and its key. Both may stand in front
/// of the command instead: sandbar --url URL --key KEY ls.
#[derive(Parser)]
#[command(
    name = "sandbar",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(after_help = "Example:\n  sandbar run -- python3 -c 'print(6 * 7)'")]
pub struct Arguments {
    /// The address of the bridge [default: the variable SANDBOX_URL]
    #[arg(long)]
    url: Option<String>,
    /// The key, or a token [default: the variable SANDBOX_API_KEY, which other users of this machine
    /// never see]
    #[arg(long)]
    pub key: Option<String>,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
#[allow(missing_docs, reason = "the files of the commands have the documentation")]
pub enum Command {
    Run(run::Run),
    Exec(exec::Exec),
    Sh(sh::Sh),
    Create(create::Create),
    Ls(ls::Ls),
    Rm(rm::Rm),
    Ps(ps::Ps),
    Logs(logs::Logs),
    Kill(kill::Kill),
    Cp(cp::Cp),
    Port(port::Port),
    Snap(snap::Snap),
    Mcp(mcp::Mcp),
    Completions(completions::Completions),
}

impl Command {
    /// Whether the exit code is that of a command in a sandbox.
    pub fn runs_commands(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Exec(_) | Self::Sh(_))
    }
}

impl Arguments {
    /// The key, if there is one.
    pub fn key(&self) -> Option<String> {
        let from_environment = || std::env::var(KEY_VARIABLE).ok();
        self.key
            .clone()
            .or_else(from_environment)
            .filter(|key| !key.is_empty())
    }

    /// The bridge.
    pub fn bridge(&self) -> Result<Bridge> {
        let url = self
            .url
            .clone()
            .or_else(|| std::env::var(URL_VARIABLE).ok())
            .filter(|url| !url.is_empty());
        let missing = || {
            Error::Usage(format!(
                "set {URL_VARIABLE} to the address of the bridge, or use --url"
            ))
        };
        Bridge::new(&url.ok_or_else(missing)?, self.key().as_deref())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent_and_every_command_has_help_with_an_example() {
        let mut program = Arguments::command();
        program.clone().debug_assert();
        for command in program
            .get_subcommands_mut()
            .filter(|command| command.get_name() != "help")
        {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{name}");
            assert!(command.get_about().is_some(), "{name}");
            for argument in command
                .get_arguments()
                .filter(|argument| argument.get_id() != "help")
            {
                assert!(argument.get_help().is_some(), "{name} {}", argument.get_id());
            }
        }
    }
}
