//! The requests to one bridge.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response};
use sandbox_protocol::SandboxId;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;

use crate::error::{Error, Result};

/// How often a 503 with `Retry-After` is repeated, and what changes nothing when its connection breaks.
const MAX_REPEATS: u32 = 6;

/// A bridge.
#[derive(Debug, Clone)]
pub struct Bridge {
    client: reqwest::Client,
    url: String,
    authorization: Option<HeaderValue>,
}

impl Bridge {
    /// A bridge at an address. A bridge on a laptop may need no key.
    pub fn new(url: &str, key: Option<&str>) -> Result<Self> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let message = "the address of the bridge must begin with http:// or https://";
            return Err(Error::Usage(message.to_owned()));
        }
        let authorization = key.map(|key| {
            let mut value = HeaderValue::try_from(format!("Bearer {key}"))
                .map_err(|_| Error::Usage("the key has a character that no key has".to_owned()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let client = reqwest::Client::builder()
            .user_agent(concat!("sandbar-cli/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(15))
            .connect_timeout(Duration::from_secs(30))
            // Before the server closes an idle connection: a request sent at the same time would be lost.
            .pool_idle_timeout(Duration::from_secs(1))
            .build();
        Ok(Self {
            client: client.map_err(Error::from_transport)?,
            url: url.trim_end_matches('/').to_owned(),
            authorization: authorization.transpose()?,
        })
    }

    /// A request with the key. `path` begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// A request to a sandbox. `rest` begins with a slash or is empty.
    pub fn sandbox(&self, method: Method, id: &SandboxId, rest: &str) -> RequestBuilder {
        self.request(method, &format!("/v1/sandbox/{id}{rest}"))
    }

    /// `DELETE /v1/sandbox/{id}`: the sandbox ends, if it is there.
    pub async fn destroy(&self, id: &SandboxId) -> Result<()> {
        retry_if_lost(async || send(self.sandbox(Method::DELETE, id, "")).await).await?;
        Ok(())
    }

    /// All items of a list that comes in pages. `path` may have a query. `each` is called with each page.
    pub async fn pages(&self, path: &str, field: &str, mut each: impl FnMut(&Value)) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut path = format!("{path}{}limit=1000", if path.contains('?') { '&' } else { '?' });
            if let Some(cursor) = &cursor {
                path.push_str(&query(&[("cursor", cursor)]).replacen('?', "&", 1));
            }
            let mut page: Value =
                retry_if_lost(async || json(self.request(Method::GET, &path)).await).await?;
            each(&page);
            match page.get_mut(field).map(Value::take) {
                Some(Value::Array(more)) => items.extend(more),
                _ => return Err(Error::Answer(format!("a page without {field}"))),
            }
            cursor = page.get("cursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }
}

/// A query, with its `?`. Spaces are `%20`.
pub fn query(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    text
}

/// Sends a request, and returns an answer below 400. Repeats it after 503 with `Retry-After` alone,
/// which says that nothing was started. A request with a stream as its body is sent once.
pub async fn send(request: RequestBuilder) -> Result<Response> {
    let mut repeats = 0;
    loop {
        let Some(attempt) = request.try_clone() else {
            return check(request.send().await.map_err(Error::from_transport)?).await;
        };
        let response = attempt.send().await.map_err(Error::from_transport)?;
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        match retry_after {
            Some(seconds) if response.status() == 503 && repeats < MAX_REPEATS => {
                repeats += 1;
                sleep(Duration::from_secs(std::cmp::min(seconds, 10))).await;
            }
            _ => return check(response).await,
        }
    }
}

/// An answer below 400, or the error in it.
pub async fn check(response: Response) -> Result<Response> {
    let status = response.status();
    if status.as_u16() < 400 {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let error = serde_json::from_slice(&body)
        .ok()
        .and_then(|body| Error::in_body(status.as_u16(), &body));
    Err(error.unwrap_or_else(|| Error::Refused {
        status: status.as_u16(),
        code: String::new(),
        message: format!("the answer was {status}"),
        offset: None,
    }))
}

/// [`send`], and the JSON of the answer. A long wait begins with status 200 before its outcome is known.
pub async fn json<T: DeserializeOwned>(request: RequestBuilder) -> Result<T> {
    let response = send(request).await?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(Error::from_transport)?;
    let value = serde_json::from_slice(&body).map_err(|e| Error::Answer(e.to_string()))?;
    match Error::in_body(status, &value) {
        Some(error) => Err(error),
        None => serde_json::from_value(value).map_err(|e| Error::Answer(e.to_string())),
    }
}

/// Repeats what changes nothing, or is idempotent, while its connection breaks.
pub async fn retry_if_lost<T>(attempt: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut failures = 0;
    loop {
        match attempt().await {
            Err(error) if error.is_lost() && failures < repeats_of(&error) => {
                sleep(backoff(failures)).await;
                failures += 1;
            }
            result => return result,
        }
    }
}

/// A bridge that does not run is soon told.
fn repeats_of(error: &Error) -> u32 {
    if matches!(error, Error::Unreachable(_)) {
        MAX_REPEATS / 2
    } else {
        MAX_REPEATS
    }
}

/// The wait after a number of failures: 50 ms to 2 s.
pub fn backoff(failures: u32) -> Duration {
    Duration::from_millis((50 << failures.min(6)).min(2000))
}

/// A name that no other process has: `cli-` and 16 digits.
pub fn new_process_id() -> Result<String> {
    let number = getrandom::u64().map_err(|e| Error::Usage(format!("no random number: {e}")))?;
    Ok(format!("cli-{number:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_percent_encoded() {
        assert_eq!(
            query(&[("path", "a b/ü"), ("mode", "0755")]),
            "?path=a%20b%2F%C3%BC&mode=0755"
        );
        assert_eq!(query(&[]), "");
    }

    #[test]
    fn a_key_is_in_no_debug_output() {
        let bridge = Bridge::new("http://localhost:1/", Some("secret-key")).unwrap();
        assert!(!format!("{bridge:?}").contains("secret-key"));
        let wrong = Bridge::new("http://localhost", Some("secret\nkey")).unwrap_err();
        assert!(!wrong.to_string().contains("secret"));
        assert!(Bridge::new("localhost:8787", None).is_err());
    }

    #[test]
    fn the_wait_grows_to_two_seconds() {
        assert_eq!(
            [0, 1, 5, 6, 99].map(|n| backoff(n).as_millis()),
            [50, 100, 1600, 2000, 2000]
        );
    }
}
