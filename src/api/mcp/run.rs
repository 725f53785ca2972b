//! The tool `run`, and the state of a process as the last line of a result.

use sandbox_protocol::event::Exit;
use sandbox_protocol::json::Fields as _;
use sandbox_protocol::mcp::{Arguments, DEFAULT_WAIT_MS, End};
use sandbox_protocol::route_table::Operation;
use sandbox_protocol::{ProcessId, SandboxId};
use serde_json::json;

use super::Server;
use super::calls::Call;
use super::process::finish;
use super::tool_result::{Failure, ToolResult};

impl Server {
    /// `POST …/process`, and the output of the first `wait_ms`. The process belongs to no client: when
    /// the client leaves, it continues.
    pub(super) async fn run(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let names = ["command", "cwd", "env", "stdin", "stdin_open", "timeout_ms"];
        let call = Call::of(&sandbox, Operation::StartProcess).json(arguments.body(&names));
        let started = self.calls.value(call).await?;
        let process = ProcessId::parse(started.at("id").as_str().unwrap_or_default())?;
        let wait_ms = arguments.number("wait_ms").unwrap_or(DEFAULT_WAIT_MS);
        let output = self.follow(&sandbox, &process, wait_ms, arguments).await;
        output.map_err(|failure| {
            Failure(format!(
                "the command was started as process {process}, but: {failure}"
            ))
        })
    }

    /// Waits for the end of a process, at most `wait_ms`, and shows its output so far.
    pub(super) async fn follow(
        &self,
        sandbox: &SandboxId,
        process: &ProcessId,
        wait_ms: u64,
        arguments: &Arguments,
    ) -> Result<ToolResult, Failure> {
        let call = Call::of(sandbox, Operation::WaitForProcess)
            .parameter("pid", process.as_str())
            .json(json!({ "for": "exit", "timeout_ms": wait_ms.max(1) }));
        let waited = self.calls.value(call).await?;
        let log = self.log(sandbox, process, arguments).await?;
        let since = log.last();
        let ended = waited.get("exit").cloned();
        let ended: Option<Exit> = ended.and_then(|exit| serde_json::from_value(exit).ok());
        let state = match (log.end(), &ended) {
            (Some(End::Exit(exit)), _) | (None, Some(exit)) => exit_line(exit),
            (Some(End::Error(text)), _) => format!("[{text}]"),
            (None, _) if waited.at("state") == "exited" => {
                format!(
                    "[{}]",
                    waited.at("error").at("error").as_str().unwrap_or("it has ended")
                )
            }
            (None, _) => {
                let next = json!({ "process": process.as_str(), "since": since });
                format!("[still running: process_output {next} has what follows]")
            }
        };
        let text = finish(log, process, arguments);
        let between = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        Ok(ToolResult::text(format!("{text}{between}{state}")))
    }
}

fn exit_line(exit: &Exit) -> String {
    match (&exit.signal, exit.timed_out) {
        (_, true) => format!("[exit code {}: timeout_ms is over]", exit.exit_code),
        (Some(signal), false) => format!("[exit code {}: {signal}]", exit.exit_code),
        (None, false) => format!("[exit code {}]", exit.exit_code),
    }
}
