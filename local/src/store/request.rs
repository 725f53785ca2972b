//! Requests to the store: keys, operations, ranges. Pure.

use std::{fmt, io};

use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use sandbox_protocol::query;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// 400: the request is malformed.
    #[error("{0}")]
    Invalid(&'static str),
    /// 404: there is no such object or upload.
    #[error("no such object or upload")]
    NotFound,
    /// 416: the object does not have these bytes.
    #[error("the object does not have these bytes")]
    Range,
    /// 507: the disk is full.
    #[error("the disk is full")]
    Full,
    /// 500: the disk failed.
    #[error("{0}")]
    Disk(io::Error),
}

impl From<io::Error> for StoreError {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Disk(e),
        }
    }
}

impl IntoResponse for StoreError {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            Self::NotFound => (StatusCode::NOT_FOUND, "NoSuchKey"),
            Self::Range => (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
            Self::Full => (StatusCode::INSUFFICIENT_STORAGE, "StorageFull"),
            Self::Disk(e) => {
                tracing::warn!(error = %e, "the store of snapshots failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
            }
        };
        (status, format!("<Error><Code>{code}</Code></Error>")).into_response()
    }
}

/// The key of an object: names of letters, digits and `.-_`, with slashes between them. No name
/// begins with a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Parses a key as it stands in a path. Error: 400.
    pub fn parse(key: &str) -> Result<Self, StoreError> {
        let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let is_name = |name: &str| !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_of_name);
        match key.len() <= 512 && key.split('/').all(is_name) {
            true => Ok(Self(key.to_owned())),
            false => Err(StoreError::Invalid(
                "a key has names of letters, digits and .-_, with slashes between them",
            )),
        }
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operation on an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    Put,
    Get,
    Delete,
    CreateUpload,
    UploadPart(Key, u32),
    CompleteUpload(Key),
    AbortUpload(Key),
}

impl Operation {
    pub(super) fn parse(method: &Method, query: &str) -> Result<Self, StoreError> {
        let upload = || {
            parameter(query, "uploadId")?
                .map(|id| Key::parse(&id))
                .transpose()
        };
        let is_uploads = query
            .split('&')
            .any(|part| part == "uploads" || part == "uploads=");
        match (method.as_str(), upload()?) {
            ("PUT", None) => Ok(Self::Put),
            ("GET" | "HEAD", None) => Ok(Self::Get),
            ("DELETE", None) => Ok(Self::Delete),
            ("POST", None) if is_uploads => Ok(Self::CreateUpload),
            ("POST", Some(upload)) => Ok(Self::CompleteUpload(upload)),
            ("DELETE", Some(upload)) => Ok(Self::AbortUpload(upload)),
            ("PUT", Some(upload)) => {
                let number = parameter(query, "partNumber")?.and_then(|number| number.parse().ok());
                let number = number.filter(|number| (1..=10_000).contains(number));
                let number = number.ok_or(StoreError::Invalid("partNumber must be 1 to 10000"))?;
                Ok(Self::UploadPart(upload, number))
            }
            _ => Err(StoreError::Invalid("the store does not do this")),
        }
    }
}

/// The query of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListQuery {
    pub(super) prefix: String,
    pub(super) start_after: String,
    pub(super) max_keys: usize,
}

impl ListQuery {
    pub(super) fn parse(query: &str) -> Result<Self, StoreError> {
        let max_keys = parameter(query, "max-keys")?.map_or(Ok(1000), |text| text.parse());
        Ok(Self {
            prefix: parameter(query, "prefix")?.unwrap_or_default(),
            start_after: parameter(query, "start-after")?.unwrap_or_default(),
            max_keys: max_keys
                .map_err(|_| StoreError::Invalid("max-keys must be a number"))?
                .min(1000),
        })
    }
}

fn parameter(query: &str, name: &str) -> Result<Option<String>, StoreError> {
    query::value(query, name).map_err(|_| StoreError::Invalid("the query must be UTF-8"))
}

/// The XML of a list. Keys have no character that XML escapes.
pub(super) fn list_answer(keys: &[(String, u64)], is_truncated: bool) -> String {
    let mut text = format!("<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>");
    for (key, size) in keys {
        text.push_str(&format!(
            "<Contents><Key>{key}</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified>\
             <ETag>\"0\"</ETag><Size>{size}</Size></Contents>"
        ));
    }
    text + "</ListBucketResult>"
}

/// A range of bytes: from the first to the last, if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) last: Option<u64>,
}

impl Range {
    pub(super) fn parse(header: &HeaderValue) -> Result<Self, StoreError> {
        let range = || {
            let (first, last) = header.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
            let last = match last {
                "" => None,
                last => Some(last.parse().ok()?),
            };
            Some(Self {
                first: first.parse().ok()?,
                last,
            })
        };
        range().ok_or(StoreError::Invalid("the range must be like bytes=0-99"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_below_the_directory() {
        for key in ["a", "a/b.c", "snapshots/archive/a2_-"] {
            assert_eq!(Key::parse(key).unwrap().as_str(), key);
        }
        for key in [
            "", "/a", "a/", "a//b", "..", "a/../b", ".a", "a b", "a%2fb", "a\0",
        ] {
            assert!(Key::parse(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn operations_are_told_by_method_and_query() {
        let parse = |method: &str, query: &str| Operation::parse(&method.parse().unwrap(), query);
        let upload = || Key::parse("u1").unwrap();
        for (method, query, operation) in [
            ("PUT", "", Operation::Put),
            ("GET", "x-id=GetObject", Operation::Get),
            ("POST", "uploads=", Operation::CreateUpload),
            (
                "PUT",
                "partNumber=7&uploadId=u1",
                Operation::UploadPart(upload(), 7),
            ),
            ("POST", "uploadId=u1", Operation::CompleteUpload(upload())),
            ("DELETE", "uploadId=u1", Operation::AbortUpload(upload())),
        ] {
            assert_eq!(parse(method, query).unwrap(), operation);
        }
        for (method, query) in [
            ("PUT", "partNumber=0&uploadId=u1"),
            ("PUT", "uploadId=u1"),
            ("PUT", "partNumber=1&uploadId=../x"),
            ("POST", ""),
            ("PATCH", ""),
        ] {
            assert!(parse(method, query).is_err(), "{method} {query}");
        }
    }

    #[test]
    fn ranges() {
        let parse = |text: &str| Range::parse(&HeaderValue::from_str(text).unwrap()).ok();
        let range = |first, last| Some(Range { first, last });
        assert_eq!(parse("bytes=5-9"), range(5, Some(9)));
        assert_eq!(parse("bytes=5-"), range(5, None));
        assert_eq!(parse("bytes=-5"), None);
        assert_eq!(parse("bytes=0-1,3-4"), None);
    }
}
