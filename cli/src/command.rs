//! The commands, one file each.

pub mod completions;
pub mod cp;
pub mod create;
pub mod exec;
pub mod kill;
pub mod logs;
pub mod ls;
pub mod mcp;
pub mod port;
pub mod ps;
pub mod rm;
pub mod run;
pub mod sh;
pub mod snap;

use sandbox_protocol::{Invalid, ProcessId, SandboxId, ServerPort, SessionId};

use crate::arguments::{Arguments, Command};
use crate::error::Result;

/// Runs a command. Returns the exit code of the program.
pub async fn run(arguments: Arguments) -> Result<u8> {
    if let Command::Completions(command) = &arguments.command {
        return command.run();
    }
    let bridge = arguments.bridge()?;
    match arguments.command {
        Command::Run(command) => command.run(&bridge).await,
        Command::Exec(command) => command.run(&bridge).await,
        Command::Sh(command) => command.run(&bridge).await,
        Command::Create(command) => command.run(&bridge).await,
        Command::Ls(command) => command.run(&bridge).await,
        Command::Rm(command) => command.run(&bridge).await,
        Command::Ps(command) => command.run(&bridge).await,
        Command::Logs(command) => command.run(&bridge).await,
        Command::Kill(command) => command.run(&bridge).await,
        Command::Cp(command) => command.run(&bridge).await,
        Command::Port(command) => command.run(&bridge).await,
        Command::Snap(command) => command.run(&bridge).await,
        Command::Mcp(command) => command.run(&bridge).await,
        Command::Completions(command) => command.run(),
    }
}

/// The exit code of this program for that of a command.
fn exit_code(code: i32) -> u8 {
    // As a shell does: the last eight bits.
    code.to_le_bytes()[0]
}

fn sandbox_id(text: &str) -> std::result::Result<SandboxId, Invalid> {
    SandboxId::parse(text)
}

fn process_id(text: &str) -> std::result::Result<ProcessId, Invalid> {
    ProcessId::parse(text)
}

fn session_id(text: &str) -> std::result::Result<SessionId, Invalid> {
    SessionId::parse(text)
}

fn server_port(text: &str) -> std::result::Result<ServerPort, Invalid> {
    ServerPort::parse(text)
}

/// The milliseconds of a time with its unit.
fn milliseconds(text: &str) -> std::result::Result<u64, Invalid> {
    let time = sandbox_protocol::duration::parse(text).and_then(|time| u64::try_from(time.as_millis()).ok());
    time.ok_or_else(|| Invalid::request("a time is a whole number with its unit, like 30s or 10m"))
}
