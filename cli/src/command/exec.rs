use std::num::NonZeroU64;

use clap::Args;
use reqwest::Method;
use sandbox_protocol::process::Process;
use sandbox_protocol::{SandboxId, SessionId};
use serde_json::{Map, Value};

use super::{exit_code, milliseconds, sandbox_id, session_id};
use crate::attached::Attached;
use crate::error::Result;
use crate::http::{Bridge, json, new_process_id, retry_if_lost};
use crate::input;
use crate::output::print;
use crate::settings::{object, variable};
use crate::signals::Signals;

/// Runs a command in a sandbox, and exits with its exit code
///
/// Input that is not a terminal is forwarded. Ctrl-C is sent to the command; a second one ends it. When
/// the connection breaks, the command goes on, and its output and input continue where they were.
/// Errors of sandbar itself have the exit code 125.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sandbar exec $id -- ls -l\n  sandbar exec $id -c 'echo $HOME | wc -c'\n  \
    gzip -dc data.gz | sandbar exec $id -- sha256sum"
)]
pub struct Exec {
    /// The id of the sandbox
    #[arg(value_name = "ID", value_parser = sandbox_id)]
    id: SandboxId,
    /// A command line for a shell, in the place of COMMAND
    #[arg(short = 'c', value_name = "STRING", conflicts_with = "command")]
    line: Option<String>,
    #[command(flatten)]
    options: CommandOptions,
    /// Forwards the input also if it is a terminal
    #[arg(short, long, conflicts_with = "detach")]
    interactive: bool,
    /// Starts the command in the background, and prints the id of its process
    #[arg(short, long)]
    detach: bool,
    /// The program and its arguments
    #[arg(
        required_unless_present = "line",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

/// Options of a command.
#[derive(Args)]
struct CommandOptions {
    /// The working directory
    #[arg(long, value_name = "PATH")]
    cwd: Option<String>,
    /// A variable. K alone: with the value that it has here
    #[arg(short, long = "env", value_name = "K=V", value_parser = variable)]
    env: Vec<(String, String)>,
    /// The session to run it in
    #[arg(long, value_name = "SESSION", value_parser = session_id)]
    session: Option<SessionId>,
    /// Ends the command after this time, like 30s, with the exit code 124
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    timeout: Option<u64>,
}

/// The body of `exec` for a program with arguments, or for a command line.
pub fn body(argv: &[String], line: Option<&str>, timeout_ms: Option<u64>) -> Map<String, Value> {
    let mut body = Map::new();
    match line {
        Some(line) => body.insert("command".to_owned(), line.into()),
        None => body.insert("argv".to_owned(), argv.into()),
    };
    if let Some(timeout) = timeout_ms.and_then(NonZeroU64::new) {
        body.insert("timeout_ms".to_owned(), timeout.get().into());
    }
    body
}

impl Exec {
    /// Runs the command.
    pub async fn run(self, bridge: &Bridge) -> Result<u8> {
        let options = self.options;
        let mut body = body(&self.command, self.line.as_deref(), options.timeout);
        if let Some(cwd) = options.cwd {
            body.insert("cwd".to_owned(), cwd.into());
        }
        if !options.env.is_empty() {
            body.insert("env".to_owned(), object(&options.env).into());
        }
        let session = options.session.as_ref();
        if self.detach {
            return detach(bridge, &self.id, session, body).await;
        }
        let attached = Attached {
            bridge,
            sandbox: &self.id,
            session,
            body,
            forwards_input: self.interactive || input::is_there(),
        };
        attached.run(&mut Signals::new()?).await.map(exit_code)
    }
}

/// Starts a process. The same request again starts nothing.
async fn detach(
    bridge: &Bridge,
    sandbox: &SandboxId,
    session: Option<&SessionId>,
    mut body: Map<String, Value>,
) -> Result<u8> {
    body.insert("id".to_owned(), new_process_id()?.into());
    let start = async || {
        let mut request = bridge.sandbox(Method::POST, sandbox, "/process").json(&body);
        if let Some(session) = session {
            request = request.header("Session-Id", session.to_string());
        }
        json::<Process>(request).await
    };
    let process = retry_if_lost(start).await?;
    print(&process.id)?;
    Ok(0)
}
