//! Requests of a tool to other routes.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sandbox_protocol::json::Fields as _;
use sandbox_protocol::route_table::Operation;
use sandbox_protocol::{ErrorBody, SandboxId};
use serde_json::Value;
use web_sys::{AbortSignal, Headers, Request, RequestInit, Response};
use worker::Env;

use super::tool_result::Failure;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::{router, stub, url};

/// The way to the other routes, for the client of a request.
pub struct Calls {
    env: Env,
    caller: Caller,
    /// Scheme, host and port: addresses in answers are made from them.
    origin: String,
    authorization: Option<String>,
    signal: AbortSignal,
}

/// A request to a route.
pub struct Call {
    operation: Operation,
    path: String,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl Call {
    /// A request for an operation. It accepts JSON.
    pub fn new(operation: Operation) -> Self {
        Self {
            operation,
            path: operation.route().pattern.to_owned(),
            query: String::new(),
            headers: vec![("accept", "application/json".to_owned())],
            body: None,
        }
    }

    /// A request for an operation of a sandbox.
    pub fn of(sandbox: &SandboxId, operation: Operation) -> Self {
        Self::new(operation).parameter("id", sandbox.as_str())
    }

    /// Sets a parameter of the path, which has the form that it has in URLs.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.path = self.path.replace(&format!("{{{name}}}"), value);
        self
    }

    /// Adds a parameter to the query.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.query.is_empty() { '?' } else { '&' };
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        self.query.push_str(&format!("{separator}{name}={value}"));
        self
    }

    /// Sets a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }

    /// Sets a JSON body.
    pub fn json(self, body: impl Into<Value>) -> Self {
        self.body(body.into().to_string())
    }
}

impl Calls {
    /// Calls for the client of `request`: with its credentials, until it leaves.
    pub fn new(env: &Env, caller: &Caller, request: &Request) -> Result<Self, ApiError> {
        Ok(Self {
            env: env.clone(),
            caller: caller.clone(),
            origin: url::origin(&request.url()).unwrap_or_default(),
            authorization: request.headers().get("authorization")?,
            signal: request.signal(),
        })
    }

    /// Sends a request. Returns the response, whatever its status is.
    pub async fn send(&self, call: Call) -> Result<Response, ApiError> {
        let headers = Headers::new()?;
        for (name, value) in &call.headers {
            headers.set(name, value)?;
        }
        if let Some(authorization) = &self.authorization {
            headers.set("authorization", authorization)?;
        }
        let init = RequestInit::new();
        init.set_method(call.operation.route().method.as_str());
        init.set_signal(Some(&self.signal));
        if let Some(body) = &call.body {
            headers.set("content-length", &body.len().to_string())?;
            init.set_body(&body.into());
        }
        init.set_headers(&headers);
        let url = format!("{}{}{}", self.origin, call.path, call.query);
        let request = Request::new_with_str_and_init(&url, &init)?;
        Ok(router::call(request, self.env.clone(), self.caller.clone()).await)
    }

    /// Sends a request. Fails with the error of its response.
    pub async fn succeed(&self, call: Call) -> Result<Response, Failure> {
        check(self.send(call).await?).await
    }

    /// The JSON of a successful response. One that took long may have an error all the same.
    pub async fn value(&self, call: Call) -> Result<Value, Failure> {
        let response = self.succeed(call).await?;
        let text = stub::text(response.text()).await?;
        let value: Value = serde_json::from_str(&text).map_err(ApiError::from)?;
        // Without a copy of a large value.
        let is_error = value.at("error").is_string() && value.at("code").is_string();
        match is_error {
            true => Err(Failure(error_text(
                &serde_json::from_value(value).map_err(ApiError::from)?,
            ))),
            false => Ok(value),
        }
    }
}

/// A successful response. Fails with the error of another.
pub async fn check(response: Response) -> Result<Response, Failure> {
    if response.ok() {
        return Ok(response);
    }
    let retry_after = response.headers().get("retry-after")?;
    let text = stub::text(response.text()).await?;
    let why = serde_json::from_str(&text).map_or(text, |error| error_text(&error));
    Err(Failure(match retry_after {
        Some(seconds) => format!("{why}. Nothing was done: call the tool again after {seconds} s"),
        None => why,
    }))
}

/// An error of a route, for the model: the text, and the code for people who look it up.
fn error_text(error: &ErrorBody) -> String {
    let code = serde_json::to_value(error.code).unwrap_or_default();
    format!("{} ({})", error.error, code.as_str().unwrap_or_default())
}
