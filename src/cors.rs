//! Cross-origin resource sharing: the web pages that may call the API.

use web_sys::{Headers, Request, Response};

use crate::error::ApiError;
use crate::response;
use crate::url;

/// The methods of the API.
const METHODS: &str = "GET, HEAD, PUT, POST, PATCH, DELETE";

/// The time for which a browser remembers the answer to its question, in seconds.
const MAX_AGE: &str = "7200";

/// `ALLOWED_ORIGINS`: the origins whose pages may call the API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// Reads origins that are separated by commas, or `*`. Error: 503 that names the variable.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        let origins = origins.map(|origin| {
            let is_origin = origin == "*" || url::origin(origin).as_deref() == Some(origin);
            is_origin.then(|| origin.to_owned()).ok_or_else(|| {
                ApiError::NotConfigured(format!(
                    "ALLOWED_ORIGINS must be origins like https://app.example.com, or *, not {origin:?}"
                ))
            })
        });
        origins.collect::<Result<_, _>>().map(Self)
    }

    /// Whether pages of `origin` may call the API.
    pub fn allows(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed == "*" || allowed == origin)
    }
}

/// A request of a page that may call the API.
#[derive(Debug)]
pub struct Cors {
    origin: String,
    /// The headers that the page wants to send, if this is the browser's question before the
    /// request.
    preflight: Option<String>,
}

impl Cors {
    /// `None` for a request of no page, or of one that may not.
    pub fn from_request(allowed: &AllowedOrigins, request: &Request) -> Result<Option<Self>, ApiError> {
        let headers = request.headers();
        let Some(origin) = headers.get("origin")?.filter(|origin| allowed.allows(origin)) else {
            return Ok(None);
        };
        let is_preflight = request.method() == "OPTIONS" && headers.has("access-control-request-method")?;
        let wanted = headers.get("access-control-request-headers")?;
        Ok(Some(Self {
            origin,
            preflight: is_preflight.then(|| wanted.unwrap_or_default()),
        }))
    }

    /// The answer to a browser's question before a request.
    pub fn preflight(&self) -> Option<Result<Response, ApiError>> {
        let wanted = self.preflight.as_ref()?;
        let answer = || {
            let headers = Headers::new()?;
            self.set(&headers)?;
            headers.set("access-control-allow-methods", METHODS)?;
            headers.set("access-control-allow-headers", wanted)?;
            headers.set("access-control-max-age", MAX_AGE)?;
            Ok(response::streamed(204, &headers, None)?)
        };
        Some(answer())
    }

    /// The response for the page: as it is, and readable for it.
    pub fn allow(&self, response: Response) -> Result<Response, ApiError> {
        if response.status() == 101 {
            return Ok(response);
        }
        // The headers of a forwarded response cannot be changed.
        let headers = Headers::new_with_headers(&response.headers())?;
        self.set(&headers)?;
        headers.set("access-control-expose-headers", "*")?;
        let body = response.body();
        Ok(response::streamed(response.status(), &headers, body.as_ref())?)
    }

    fn set(&self, headers: &Headers) -> Result<(), ApiError> {
        headers.set("access-control-allow-origin", &self.origin)?;
        Ok(headers.append("vary", "Origin")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_a_whole() {
        let some = AllowedOrigins::parse("https://app.example.com, http://localhost:3000").unwrap();
        for origin in ["https://app.example.com", "http://localhost:3000"] {
            assert!(some.allows(origin), "{origin}");
        }
        for origin in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.example",
            "https://evil.example/https://app.example.com",
            "http://localhost",
            "null",
            "",
        ] {
            assert!(!some.allows(origin), "{origin}");
        }
        assert!(AllowedOrigins::parse("*").unwrap().allows("https://any.example"));
        assert!(!AllowedOrigins::default().allows("https://any.example"));
        for text in [
            "app.example.com",
            "https://app.example.com/",
            "https://a.example/b",
            "much",
        ] {
            let error = AllowedOrigins::parse(text).unwrap_err();
            assert!(error.body().error.starts_with("ALLOWED_ORIGINS"), "{text}");
        }
    }
}
