//! The tool `run_code`.

use sandbox_protocol::ProcessId;
use sandbox_protocol::json::Fields as _;
use sandbox_protocol::mcp::{Arguments, CODE_TIMEOUT_MS};
use sandbox_protocol::route_table::Operation;
use serde_json::Value;

use super::Server;
use super::calls::Call;
use super::tool_result::{Failure, ToolResult, limit};

/// The most base64 of images in a result.
const MAX_IMAGES: usize = 1024 * 1024;

impl Server {
    /// `POST …/run-code`. When the client leaves, the code is interrupted.
    pub(super) async fn run_code(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let names = ["code", "language", "context", "cwd", "env", "timeout_ms"];
        let mut body = arguments.body(&names);
        body.entry("timeout_ms").or_insert(CODE_TIMEOUT_MS.into());
        let call = Call::of(&sandbox, Operation::RunCode).json(body);
        let execution = self.calls.value(call).await?;
        let mut text = execution.at("output").as_str().unwrap_or_default().to_owned();
        if text.len() > limit(arguments) {
            // Its numbers say where to read on.
            let process = ProcessId::parse(execution.at("processId").as_str().unwrap_or_default())?;
            text = self.log_text(&sandbox, &process, arguments).await?;
        }
        if execution.at("timedOut") == true {
            text.push_str("\n[interrupted: timeout_ms is over. The variables are kept]");
        }
        if text.is_empty() {
            text.push_str("[no output]");
        }
        let mut images = Vec::new();
        let mut size = 0;
        for (media_type, data) in displayed(&execution) {
            size += data.len();
            if size > MAX_IMAGES {
                text.push_str("\n[more images are left out]");
                break;
            }
            images.push((media_type, data));
        }
        let content = ToolResult::text(text);
        Ok(images.into_iter().fold(content, |content, (media_type, data)| {
            content.with_image(media_type, &data)
        }))
    }
}

/// The images of a run: one form of each result. Kernels break base64 into lines.
fn displayed(execution: &Value) -> impl Iterator<Item = (&'static str, String)> {
    let results = execution.at("results").as_array().into_iter().flatten();
    results.filter_map(|result| {
        let forms = ["image/png", "image/jpeg"].into_iter();
        let mut forms = forms.filter_map(|form| Some((form, result[form].as_str()?)));
        let (media_type, data) = forms.next()?;
        Some((media_type, data.split_ascii_whitespace().collect()))
    })
}
