//! A request of a client from its start to its end: the error's form, and the line of the log.

use sandbox_protocol::SandboxId;
use sandbox_protocol::route_table::Operation;
use web_sys::{Request, Response};

use crate::discard::discard;
use crate::error::ApiError;
use crate::log::{self, RequestLine};

/// A request under way, as far as its end needs it.
pub struct Exchange {
    started_ms: f64,
    method: String,
    request: Request,
}

impl Exchange {
    /// The beginning of `request`.
    pub fn begin(request: &Request) -> Self {
        Self {
            started_ms: js_sys::Date::now(),
            method: request.method(),
            // Clones the handle; the `clone` of the JavaScript object would tee the body.
            request: Clone::clone(request),
        }
    }

    /// The response, or the form of the error. Writes the log line.
    pub async fn finish(
        self,
        pattern: &'static str,
        operation: Option<Operation>,
        sandbox: Option<&SandboxId>,
        result: Result<Response, ApiError>,
        form: fn(&ApiError) -> Result<Response, ApiError>,
    ) -> Response {
        if result.is_err() {
            discard(&self.request).await;
        }
        let error = result.as_ref().err().map(|e| e.body().error);
        let response = result.or_else(|e| form(&e)).unwrap_or_else(|_| Response::error());
        if is_logged(operation, response.status()) {
            log::request(&RequestLine {
                method: &self.method,
                route: pattern,
                sandbox: sandbox.map(SandboxId::as_str),
                status: response.status(),
                duration_ms: (js_sys::Date::now() - self.started_ms) as u64,
                error: error.filter(|_| response.status() >= 500),
            });
        }
        response
    }
}

/// Whether a request is logged.
fn is_logged(operation: Option<Operation>, status: u16) -> bool {
    match operation {
        // Monitors ask often, and under `wrangler dev` a line takes 2 ms.
        Some(Operation::HealthCheck | Operation::HeadHealth) => status != 200,
        // s3fs sends many requests, all for files. Its 403s are logged: the caller may not be s3fs.
        Some(Operation::MountS3) => status >= 500 || status == 403,
        _ => true,
    }
}
