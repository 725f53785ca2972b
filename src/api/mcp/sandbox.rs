//! The tools `create_sandbox`, `destroy_sandbox`, `expose_port` and `snapshot`.

use sandbox_protocol::json::Fields as _;
use sandbox_protocol::mcp::Arguments;
use sandbox_protocol::route_table::Operation;
use serde_json::json;

use super::Server;
use super::calls::Call;
use super::tool_result::{Failure, ToolResult};

impl Server {
    /// `POST /v1/sandbox`
    pub(super) async fn create_sandbox(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let names = [
            "name",
            "env",
            "labels",
            "sleepAfter",
            "maxLifetime",
            "internet",
            "snapshot",
        ];
        let settings = arguments.body(&names);
        let mut call = Call::new(Operation::CreateSandbox);
        if !settings.is_empty() {
            call = call.json(settings);
        }
        let created = self.calls.value(call).await?;
        Ok(ToolResult::text(
            json!({ "sandbox": created.at("id") }).to_string(),
        ))
    }

    /// `DELETE /v1/sandbox/{id}`
    pub(super) async fn destroy_sandbox(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        self.calls
            .succeed(Call::of(&sandbox, Operation::DeleteSandbox))
            .await?;
        Ok(ToolResult::text(format!("destroyed {sandbox}")))
    }

    /// `POST …/snapshot`
    pub(super) async fn snapshot(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let call = Call::of(&sandbox, Operation::CreateSnapshot)
            .json(arguments.body(&["dir", "name", "excludes", "ttl"]));
        let saved = self.calls.value(call).await?;
        Ok(ToolResult::text(saved.to_string()))
    }

    /// `PUT …/port/{port}`
    pub(super) async fn expose_port(&self, arguments: &Arguments) -> Result<ToolResult, Failure> {
        let sandbox = self.sandbox(arguments)?;
        let port = arguments.number("port").unwrap_or_default().to_string();
        let call = Call::of(&sandbox, Operation::ExposePort)
            .parameter("port", &port)
            .json(arguments.body(&["name", "access", "expiresIn", "wake"]));
        let exposed = self.calls.value(call).await?;
        Ok(ToolResult::text(exposed.to_string()))
    }
}
