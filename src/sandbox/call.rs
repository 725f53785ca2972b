//! Requests from the object to `sandboxd` for a save, a restore and a resume.

use sandbox_protocol::{ErrorBody, ErrorCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;
use web_sys::{RequestInit, Response};

use super::Core;
use super::lifecycle::Boot;
use crate::error::ApiError;
use crate::{body, stub};

impl Core {
    /// Sends `sandboxd` a request that needs no start. Errors: that of `sandboxd`; 502 when the
    /// connection is lost.
    pub async fn call<T: Serialize>(
        &self,
        boot: &Boot,
        method: &str,
        path: &str,
        json: Option<&T>,
    ) -> Result<Response, ApiError> {
        let init = RequestInit::new();
        init.set_method(method);
        if let Some(json) = json {
            let headers = body::json_headers()?;
            init.set_headers(&headers);
            init.set_body(&serde_json::to_string(json)?.into());
        }
        let response = self.runtime.fetch(boot, path, &init).await;
        let response = response.map_err(|thrown| connection_lost(&thrown))?;
        match response.ok() {
            true => Ok(response),
            false => Err(response_error(response).await),
        }
    }
}

/// The error for a connection that was lost.
pub fn connection_lost(thrown: &JsValue) -> ApiError {
    let text = worker::Error::from(thrown.clone());
    ApiError::Snapshot(format!("the connection to the sandbox was lost: {text}"))
}

/// The error in a response of `sandboxd` about a save or a restore.
pub async fn response_error(response: Response) -> ApiError {
    let status = response.status();
    let text = stub::text(response.text()).await.unwrap_or_default();
    match serde_json::from_str::<ErrorBody>(&text) {
        Ok(body) if body.code == ErrorCode::NotFound => {
            ApiError::NotSupported("the image of the sandbox is older than snapshots".into())
        }
        Ok(body) => ApiError::Answered(status, body),
        Err(_) => ApiError::Snapshot(format!("sandboxd answered with {status}")),
    }
}

/// The JSON in a response.
pub async fn json_body<T: DeserializeOwned>(response: Response) -> Result<T, ApiError> {
    Ok(serde_json::from_str(&stub::text(response.text()).await?)?)
}
