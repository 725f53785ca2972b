//! Forwards requests to `sandboxd`.

use std::rc::Rc;

use sandbox_protocol::{ErrorBody, ErrorCode, event, sandboxd};
use wasm_bindgen::JsValue;
use web_sys::{Request, RequestInit, Response};

use super::container::Failure;
use super::lifecycle::Boot;
use super::platform_error::Kind;
use super::{Core, response_body};
use crate::connection_error::{self, Delivery};
use crate::error::ApiError;

impl Core {
    /// Forwards a request to `sandboxd`, which is started if necessary.
    pub(super) async fn forward(
        self: &Rc<Self>,
        path: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let mut again = request.body().is_none() && connection_error::is_repeatable(&request.method(), path);
        loop {
            let boot = self.boot().await?;
            match self.send(&boot, path, request).await {
                Err(_) if again => again = false,
                result => return result,
            }
        }
    }

    /// Forwards a request to `sandboxd` if it runs. `None`: it does not run, and it was not
    /// started.
    pub(super) async fn forward_if_running(
        self: &Rc<Self>,
        path: &str,
        request: &Request,
    ) -> Result<Option<Response>, ApiError> {
        let forwarded = self.forward_to_running(path, request).await?;
        if forwarded.is_none()
            && let Some(body) = request.body().filter(|body| !body.locked())
        {
            // Else the Worker waits for somebody to read it before it answers.
            let _ = body.cancel();
        }
        Ok(forwarded)
    }

    async fn forward_to_running(
        self: &Rc<Self>,
        path: &str,
        request: &Request,
    ) -> Result<Option<Response>, ApiError> {
        let mut again = request.body().is_none() && connection_error::is_repeatable(&request.method(), path);
        loop {
            let Some(boot) = self.restored_boot().await? else {
                return Ok(None);
            };
            match self.send(&boot, path, request).await {
                Ok(response) => return Ok(Some(response)),
                Err(_) if again => again = false,
                Err(e) => match self.runtime.inspect().await {
                    // The boot has ended meanwhile. What a server did before, is not known.
                    Ok(None) if !sandboxd::is_of_server(path) => return Ok(None),
                    _ => return Err(e),
                },
            }
        }
    }

    /// The error of a command's stream that the sandbox broke off.
    fn stream_error(&self) -> ErrorBody {
        if self.has_expired.get() {
            return ErrorBody::new(
                ErrorCode::SandboxExpired,
                "the maxLifetime of the sandbox has ended: it was destroyed, and the command with it",
            );
        }
        ErrorBody::new(
            ErrorCode::ExecTransportError,
            "the connection to the sandbox was lost while the command ran; how it ended is not known",
        )
    }

    /// Sends a request to this boot.
    pub(super) async fn send(
        self: &Rc<Self>,
        boot: &Boot,
        path: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        self.uses.set(self.uses.get().wrapping_add(1));
        let method = request.method();
        let init = RequestInit::new();
        init.set_method(&method);
        init.set_headers(&request.headers());
        init.set_signal(Some(&request.signal()));
        if let Some(body) = request.body() {
            init.set_body(&body);
        }
        match self.runtime.fetch(boot, path, &init).await {
            // A server's own stream ends as the server ends it.
            Ok(response) if !sandboxd::is_of_server(path) && is_stream(&response)? => {
                let (core, boot) = (self.clone(), boot.clone());
                let reason = {
                    let core = core.clone();
                    move || core.stream_error()
                };
                response_body::event_stream(&response, reason, move || core.connection_lost(&boot))
            }
            Ok(response) => self.runtime.forward_response(response),
            Err(e) => {
                self.connection_lost(boot);
                Err(connection_error(&method, path, &e))
            }
        }
    }
}

fn is_stream(response: &Response) -> Result<bool, ApiError> {
    Ok(response
        .headers()
        .get("content-type")?
        .is_some_and(|kind| kind == event::CONTENT_TYPE))
}

fn connection_error(method: &str, path: &str, thrown: &JsValue) -> ApiError {
    let failure = Failure::from_thrown(thrown);
    let delivery = match failure.kind {
        Kind::NotReady => Delivery::NotDelivered,
        _ => Delivery::Unknown,
    };
    let text = format!("the connection to the sandbox was lost: {}", failure.text);
    connection_error::error(method, path, delivery, text)
}
