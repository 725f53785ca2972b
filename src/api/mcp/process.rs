//! The tools `process_output` and `process_input`, and the log of a process as text.

use sandbox_protocol::json::{Fields as _, set};
use sandbox_protocol::mcp::{Arguments, LogPosition, LogReader};
use sandbox_protocol::process::ListQuery;
use sandbox_protocol::route_table::Operation;
use sandbox_protocol::{ProcessId, SandboxId, event};
use serde_json::{Value, json};
use web_sys::ReadableStreamDefaultReader;

use super::Server;
use super::calls::Call;
use super::tool_result::{Failure, ToolResult, cut, limit};
use crate::body;

/// The processes of a list.
const LISTED: usize = 50;

impl Server {
    /// The output of a process, or the list of all.
    pub(super) async fn process_output(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let Some(process) = arguments.text("process") else {
            return self.list_processes(&sandbox, limit(arguments)).await;
        };
        let process = ProcessId::parse(process)?;
        let wait_ms = arguments.number("wait_ms").unwrap_or_default();
        self.follow(&sandbox, &process, wait_ms, arguments).await
    }

    /// `POST …/stdin` and `POST …/signal`
    pub(super) async fn process_input(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let process = ProcessId::parse(arguments.text("process").unwrap_or_default())?;
        let of_process = |operation| Call::of(&sandbox, operation).parameter("pid", process.as_str());
        let mut done = Vec::new();
        let (text, close) = (arguments.text("text"), arguments.flag("close"));
        if text.is_some() || close {
            let text = text.unwrap_or_default();
            let call = of_process(Operation::WriteProcessStdin)
                .query("close", &close.to_string())
                .body(text.to_owned());
            self.calls.value(call).await?;
            done.push(format!("wrote {} bytes", text.len()));
        }
        if close {
            done.push("closed the input".to_owned());
        }
        if let Some(signal) = arguments.text("signal") {
            let call = of_process(Operation::SignalProcess).json(json!({ "signal": signal }));
            self.calls.succeed(call).await?;
            done.push(format!("sent {signal}"));
        }
        if done.is_empty() {
            return Err(Failure("set text, close or signal".to_owned()));
        }
        Ok(ToolResult::text(done.join(", ")))
    }

    /// The text of the log of a process.
    pub(super) async fn log_text(
        &self,
        sandbox: &SandboxId,
        process: &ProcessId,
        arguments: &Arguments,
    ) -> Result<String, Failure> {
        let log = self.log(sandbox, process, arguments).await?;
        Ok(finish(log, process, arguments))
    }

    /// Reads the log of a process, as far as it goes now.
    pub(super) async fn log(
        &self,
        sandbox: &SandboxId,
        process: &ProcessId,
        arguments: &Arguments,
    ) -> Result<LogReader, Failure> {
        let since = arguments.number("since").unwrap_or_default();
        let mut call = Call::of(sandbox, Operation::GetProcessLog)
            .parameter("pid", process.as_str())
            .query("since", &since.to_string())
            .header("accept", event::CONTENT_TYPE);
        if let Some(stream) = arguments.text("stream") {
            call = call.query("stream", stream);
        }
        let response = self.calls.succeed(call).await?;
        let skip = arguments.number("skip_bytes").unwrap_or_default();
        let mut log = LogReader::new(since, skip, limit(arguments));
        if let Some(stream) = response.body() {
            let reader = ReadableStreamDefaultReader::new(&stream)?;
            while let Some(bytes) = body::next(&reader).await? {
                log.read(&bytes.to_vec());
            }
        }
        Ok(log)
    }

    async fn list_processes(&self, sandbox: &SandboxId, limit: usize) -> Result<ToolResult, Failure> {
        let query = ListQuery {
            running: false,
            limit: LISTED,
            cursor: None,
        };
        let call = Call::of(sandbox, Operation::ListProcesses).query("limit", &query.limit.to_string());
        let list = self.calls.value(call).await?;
        let processes = list
            .at("processes")
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let lines: Vec<String> = processes.iter().map(line).collect();
        if lines.is_empty() {
            return Ok(ToolResult::text("[no processes]"));
        }
        let advice = "ask for one process";
        Ok(ToolResult::text(cut(&lines.join("\n"), limit, advice)))
    }
}

/// The output of a log, with the call that has the rest.
pub(super) fn finish(log: LogReader, process: &ProcessId, arguments: &Arguments) -> String {
    log.finish(
        |left_out,
         LogPosition {
             event_id: since,
             byte_offset: skip,
         }| {
            let mut next = json!({ "process": process.as_str(), "since": since });
            if skip > 0 {
                set(&mut next, "skip_bytes", skip);
            }
            if let Some(stream) = arguments.text("stream") {
                set(&mut next, "stream", stream);
            }
            format!("[{left_out} bytes left out: process_output {next} has them]")
        },
    )
}

/// A process on one line: its id, its state, its command.
fn line(process: &Value) -> String {
    let text = |name: &str| process.at(name).as_str().unwrap_or_default().to_owned();
    let state = match process.at("exit").at("exit_code").as_i64() {
        Some(code) => format!("exit code {code}"),
        None => text("state"),
    };
    let argv = process.at("argv").as_array().into_iter().flatten();
    let argv: Vec<&str> = argv.filter_map(Value::as_str).collect();
    let command = argv.join(" ").replace('\n', " ");
    let command: String = command.chars().take(200).collect();
    format!("{}  {}  {state}  {command}", text("id"), text("startedAt"))
}
