//! Exposed ports: which there are, and the visits to them. They are stored, so they outlive sleep,
//! eviction and deploys; they end with a `DELETE` of the port or of the sandbox, or at their time.
//!
//! - A visit is checked against the stored token id, so an address of another exposure of the same
//!   port is refused.
//! - `sandboxd` is told since when the exposure of each visit is valid, and by a `DELETE` until when
//!   exposures are not. So it can close the connections of former visitors, and refuse a visit that
//!   was under way to it.

use std::rc::Rc;

use sandbox_protocol::preview::{
    ExposeRequest, Exposure, MAX_EXPOSURES, SandboxPorts, VALIDITY_HEADER, Validity, visits_url,
};
use sandbox_protocol::{Invalid, ServerPort, sandboxd};
use serde_json::Value;
use web_sys::{Headers, Request, RequestInit, Response};

use super::Core;
use crate::auth::constant_time_eq;
use crate::clock::now_ms;
use crate::error::ApiError;
use crate::{preview, response, stub};

/// The storage key of the exposed ports.
pub const KEY: &str = "exposures";

impl Core {
    /// `GET` of all, `PUT` and `DELETE` of one.
    pub async fn exposure(
        self: &Rc<Self>,
        port: Option<ServerPort>,
        request: &Request,
    ) -> Result<Response, ApiError> {
        match (port, request.method().as_str()) {
            (None, _) => response::json(200, &self.ports().await?),
            (Some(port), "DELETE") => self.unexpose(port).await,
            (Some(port), _) => {
                let body = stub::text(request.text()).await?;
                let request = ExposeRequest::parse(body.as_bytes())?;
                response::json(200, &self.expose(port, request).await?)
            }
        }
    }

    async fn ports(self: &Rc<Self>) -> Result<SandboxPorts, ApiError> {
        let found = self.ask_if_running(sandboxd::PORT_PATH, "GET", None).await?;
        let listening = match found {
            Some(found) => serde_json::from_str(&stub::text(found.text()).await?)?,
            None => Vec::new(),
        };
        Ok(SandboxPorts {
            listening,
            exposures: self.exposures().await?,
        })
    }

    async fn expose(self: &Rc<Self>, port: ServerPort, request: ExposeRequest) -> Result<Exposure, ApiError> {
        let random_id = preview::random_token_id()?;
        let mut exposures = self.exposures().await?;
        // After what may wait: a DELETE removes the exposures when it has removed the record.
        if self.record().await?.is_none() {
            return Err(ApiError::SandboxNotFound(self.id.clone()));
        }
        let at = exposures.iter().position(|exposure| exposure.port == port);
        let present = at.map(|at| exposures.swap_remove(at));
        if exposures.len() >= MAX_EXPOSURES {
            let message = format!("at most {MAX_EXPOSURES} ports of a sandbox can be exposed");
            return Err(Invalid::request(message).into());
        }
        let exposure = Exposure::new(port, request, present.as_ref(), now_ms(), random_id);
        exposures.push(exposure.clone());
        self.set_exposures(exposures).await?;
        // Visits of the exposure before this one, also when the request that was to close them has failed.
        self.close_visits(port, exposure.since_ms.saturating_sub(1))
            .await?;
        Ok(exposure)
    }

    async fn unexpose(self: &Rc<Self>, port: ServerPort) -> Result<Response, ApiError> {
        let mut exposures = self.exposures().await?;
        exposures.retain(|exposure| exposure.port != port);
        self.set_exposures(exposures).await?;
        self.close_visits(port, now_ms()).await?;
        response::empty(204)
    }

    /// Makes `sandboxd`, if it runs, close the connections of visits by exposures since `until_ms` or
    /// before, and refuse later ones.
    async fn close_visits(self: &Rc<Self>, port: ServerPort, until_ms: u64) -> Result<(), ApiError> {
        let path = visits_url(port, until_ms);
        match self.ask_if_running(&path, "DELETE", None).await? {
            Some(refused) if !refused.ok() => Err(ApiError::Unavailable(format!(
                "connections to port {port} were not closed: {}",
                refused.status()
            ))),
            _ => Ok(()),
        }
    }

    /// Forwards a visit to the server on the port. Errors: 404 `invalid_token`, 503
    /// `sandbox_not_running` for a sandbox that it does not start.
    pub async fn visit(
        self: &Rc<Self>,
        port: ServerPort,
        token_id: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let exposures = self.exposures().await?;
        let exposure = exposures.into_iter().find(|exposure| exposure.port == port);
        let exposure = exposure
            .filter(|exposure| constant_time_eq(exposure.token_id.as_bytes(), token_id.as_bytes()))
            .ok_or(ApiError::InvalidToken)?;
        let headers = Headers::new_with_headers(&request.headers())?;
        let validity = Validity {
            since_ms: exposure.since_ms,
            remaining_ms: exposure.expires_ms.map(|ms| ms.saturating_sub(now_ms())),
        };
        headers.set(VALIDITY_HEADER, &validity.to_string())?;
        let init = RequestInit::new();
        init.set_headers(&headers);
        let request = Request::new_with_request_and_init(request, &init)?;
        let path = sandboxd::proxy_url(port);
        if exposure.wake {
            return self.forward(&path, &request).await;
        }
        let forwarded = self.forward_if_running(&path, &request).await?;
        forwarded.ok_or_else(|| ApiError::NotRunning(self.id.clone()))
    }

    /// The exposed ports that have not expired.
    async fn exposures(&self) -> Result<Vec<Exposure>, ApiError> {
        let read = |stored: &Value| serde_json::from_value(stored.clone()).ok();
        let mut exposures = self.exposures.get(&self.storage, read).await?;
        let now_ms = now_ms();
        exposures.retain(|exposure| !exposure.has_expired(now_ms));
        Ok(exposures)
    }

    async fn set_exposures(&self, exposures: Vec<Exposure>) -> Result<(), ApiError> {
        let json = serde_json::to_string(&exposures)?;
        self.exposures.set(&self.storage, exposures, json).await
    }

    /// Removes all: the sandbox is destroyed.
    pub async fn remove_exposures(&self) -> Result<(), ApiError> {
        match self.has_exposures().await? {
            true => self.set_exposures(Vec::new()).await,
            false => Ok(()),
        }
    }

    /// Whether there are any, which a sandbox that sleeps keeps.
    pub async fn has_exposures(&self) -> Result<bool, ApiError> {
        Ok(!self.exposures().await?.is_empty())
    }
}
