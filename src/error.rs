//! Everything the Worker refuses or cannot do, and how a client is told.

use sandbox_protocol::{ErrorBody, ErrorCode, Invalid};

/// An error of the Worker or of a Sandbox object. One table, [`ApiError::parts`], says what each one is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The request itself is wrong: 400, or 403 for what lies outside the workspace.
    Invalid(Invalid),
    /// No key, or the wrong one.
    Unauthorized,
    /// The deployment lacks something; the text says what and how to set it.
    NotConfigured(String),
    /// There is no such route.
    NotFound,
    /// The route exists, with these methods.
    MethodNotAllowed(&'static str),
    /// The body is over `limit` bytes.
    TooLarge {
        /// The most bytes allowed.
        limit: u64,
    },
    /// A tunnel cannot be opened or closed; the text says why.
    Tunnel(String),
    /// A bucket cannot be mounted.
    Mount(String),
    /// The runtime of this deployment cannot do it.
    NotSupported(String),
    /// The sandbox cannot be reached now; trying again may help.
    Unavailable(String),
    /// The platform has no room for another sandbox now.
    Capacity(String),
    /// The platform is asked for too many sandboxes in a short time.
    Rate(String),
    /// The sandbox cannot be started, and trying again will not help by itself.
    StartFailed(String),
    /// A fault of ours.
    Internal(String),
}

impl ApiError {
    /// Seconds after which a client may try again, for the `Retry-After` header.
    pub const RETRY_AFTER_SECONDS: u32 = 1;

    /// Status and code.
    pub fn parts(&self) -> (u16, ErrorCode) {
        match self {
            Self::Invalid(e) => (e.status(), ErrorCode::InvalidRequest),
            Self::Unauthorized => (401, ErrorCode::Unauthorized),
            Self::NotConfigured(_) => (503, ErrorCode::NotConfigured),
            Self::NotFound => (404, ErrorCode::NotFound),
            Self::MethodNotAllowed(_) => (405, ErrorCode::MethodNotAllowed),
            Self::TooLarge { .. } => (413, ErrorCode::PayloadTooLarge),
            Self::Tunnel(_) => (502, ErrorCode::TunnelError),
            Self::Mount(_) => (502, ErrorCode::MountError),
            Self::NotSupported(_) => (501, ErrorCode::NotSupported),
            Self::Unavailable(_) => (503, ErrorCode::SandboxUnavailable),
            Self::Capacity(_) => (503, ErrorCode::CapacityExceeded),
            Self::Rate(_) => (429, ErrorCode::RateLimited),
            Self::StartFailed(_) => (502, ErrorCode::SandboxUnavailable),
            Self::Internal(_) => (500, ErrorCode::InternalError),
        }
    }

    /// The response body.
    pub fn body(&self) -> ErrorBody {
        let text = match self {
            Self::Invalid(e) => e.message().to_owned(),
            Self::Unauthorized => "Unauthorized".to_owned(),
            Self::NotFound => "no such route".to_owned(),
            Self::MethodNotAllowed(allow) => format!("method not allowed; this route takes {allow}"),
            Self::TooLarge { limit } => format!("payload too large: the limit is {limit} bytes"),
            Self::Tunnel(text) => format!("tunnel failed: {text}"),
            Self::Mount(text) => format!("mount failed: {text}"),
            Self::NotConfigured(text)
            | Self::NotSupported(text)
            | Self::Capacity(text)
            | Self::Rate(text)
            | Self::Unavailable(text)
            | Self::StartFailed(text)
            | Self::Internal(text) => text.clone(),
        };
        ErrorBody::new(self.parts().1, text)
    }

    /// The header that goes with the status, if it has one.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Unauthorized => Some(("www-authenticate", "Bearer".to_owned())),
            Self::MethodNotAllowed(allow) => Some(("allow", (*allow).to_owned())),
            Self::Unavailable(_) | Self::Capacity(_) | Self::Rate(_) => {
                Some(("retry-after", Self::RETRY_AFTER_SECONDS.to_string()))
            }
            _ => None,
        }
    }
}

impl From<Invalid> for ApiError {
    fn from(e: Invalid) -> Self {
        Self::Invalid(e)
    }
}

impl From<worker::Error> for ApiError {
    fn from(e: worker::Error) -> Self {
        Self::Internal(e.to_string())
    }
}

impl From<wasm_bindgen::JsValue> for ApiError {
    fn from(e: wasm_bindgen::JsValue) -> Self {
        Self::from(worker::Error::from(e))
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(e: serde_json::Error) -> Self {
        Self::Internal(e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms() {
        for (error, status, json) in [
            (
                ApiError::Unauthorized,
                401,
                r#"{"error":"Unauthorized","code":"unauthorized"}"#,
            ),
            (
                ApiError::NotFound,
                404,
                r#"{"error":"no such route","code":"not_found"}"#,
            ),
            (
                ApiError::MethodNotAllowed("GET, HEAD"),
                405,
                r#"{"error":"method not allowed; this route takes GET, HEAD","code":"method_not_allowed"}"#,
            ),
            (
                ApiError::TooLarge { limit: 5 },
                413,
                r#"{"error":"payload too large: the limit is 5 bytes","code":"payload_too_large"}"#,
            ),
            (
                ApiError::Unavailable("x".into()),
                503,
                r#"{"error":"x","code":"sandbox_unavailable"}"#,
            ),
            (
                ApiError::Tunnel("x".into()),
                502,
                r#"{"error":"tunnel failed: x","code":"tunnel_error"}"#,
            ),
            (
                ApiError::NotConfigured("x".into()),
                503,
                r#"{"error":"x","code":"not_configured"}"#,
            ),
            (
                Invalid::outside("x").into(),
                403,
                r#"{"error":"x","code":"invalid_request"}"#,
            ),
        ] {
            assert_eq!(error.parts().0, status);
            assert_eq!(serde_json::to_string(&error.body()).unwrap(), json);
        }
    }

    #[test]
    fn headers_that_http_asks_for() {
        assert_eq!(
            ApiError::MethodNotAllowed("PUT").header(),
            Some(("allow", "PUT".into()))
        );
        assert_eq!(
            ApiError::Unavailable(String::new()).header(),
            Some(("retry-after", "1".into()))
        );
        assert_eq!(
            ApiError::Unauthorized.header(),
            Some(("www-authenticate", "Bearer".into()))
        );
        assert_eq!(ApiError::NotFound.header(), None);
    }
}
