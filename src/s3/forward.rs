//! The part of a request that is forwarded to the bucket's own store, and its form there. Pure.

use sandbox_protocol::mount::Bucket;

use super::key::{Key, Scope};
use super::operation::{Operation, Upload};
use super::sigv4::{UNSIGNED, encode_path, query};

/// Headers of a request that are forwarded unchanged. The others could reach outside the mount, or
/// give others access.
const HEADERS: [&str; 18] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "range",
    "x-amz-acl",
    "x-amz-copy-source-range",
    "x-amz-metadata-directive",
    "x-amz-request-payer",
    "x-amz-storage-class",
    "x-amz-tagging-directive",
];

/// Prefixes of further headers that are forwarded.
const PREFIXES: [&str; 2] = ["x-amz-meta-", "x-amz-server-side-encryption"];

/// A request to the bucket's own store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its path below the endpoint, percent-encoded.
    pub path: String,
    /// Its query, percent-encoded and sorted.
    pub query: String,
    /// The object that is copied, for the header `x-amz-copy-source`.
    pub source: Option<String>,
}

impl Target {
    /// The request for `operation` in `bucket`, within `scope`.
    pub fn new(operation: &Operation, bucket: &Bucket, scope: &Scope) -> Self {
        let bucket = bucket.as_str();
        let inside = |key: &Key| format!("/{bucket}/{}", encode_path(&scope.with_prefix(key.as_str())));
        let part_of = |upload: &Upload, part: u16| {
            vec![("partNumber", part.to_string()), ("uploadId", upload.id.clone())]
        };
        let all_of = |upload: &Upload| vec![("uploadId", upload.id.clone())];
        let (path, parameters, source) = match operation {
            Operation::Probe | Operation::Location | Operation::HeadBucket => {
                (format!("/{bucket}"), Vec::new(), None)
            }
            Operation::List(query) => (format!("/{bucket}"), query.parameters(scope), None),
            Operation::Head(key) | Operation::Get(key) | Operation::Put(key) | Operation::Delete(key) => {
                (inside(key), Vec::new(), None)
            }
            Operation::Copy { to, from, .. } => (inside(to), Vec::new(), Some(inside(from))),
            Operation::CreateUpload(key) => (inside(key), vec![("uploads", String::new())], None),
            Operation::UploadPart(upload, part) => (inside(&upload.key), part_of(upload, *part), None),
            Operation::CopyPart {
                upload, part, from, ..
            } => (inside(&upload.key), part_of(upload, *part), Some(inside(from))),
            Operation::CompleteUpload(upload) | Operation::AbortUpload(upload) => {
                (inside(&upload.key), all_of(upload), None)
            }
        };
        Self {
            path,
            query: query(&parameters),
            source,
        }
    }
}

/// Whether a header of this name, in lower case, is forwarded.
pub fn is_forwarded(name: &str) -> bool {
    HEADERS.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The hash of the body for the signature: that of s3fs, if it is a SHA-256.
pub fn payload(hash: Option<&str>) -> &str {
    let is_hash = |hash: &&str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    hash.filter(is_hash).unwrap_or(UNSIGNED)
}

#[cfg(test)]
mod tests {
    use sandbox_protocol::mount::Prefix;

    use super::super::sigv4::EMPTY;
    use super::*;

    #[test]
    fn every_request_stays_in_the_bucket_and_below_the_prefix() {
        let bucket = Bucket::parse("bkt").unwrap();
        let scope = Scope::new(Prefix::parse("p q").unwrap().as_ref());
        let copy = "/mounted-bucket/b%2Bc";
        for (method, at, copies, path, query) in [
            ("GET", "k%20l", false, "/bkt/p%20q/k%20l", ""),
            ("PUT", "k", true, "/bkt/p%20q/k", ""),
            ("DELETE", "d/", false, "/bkt/p%20q/d/", ""),
            ("POST", "k?uploads", false, "/bkt/p%20q/k", "uploads="),
            (
                "PUT",
                "k?uploadId=a%2Fb&partNumber=3",
                true,
                "/bkt/p%20q/k",
                "partNumber=3&uploadId=a%2Fb",
            ),
            ("DELETE", "k?uploadId=u", false, "/bkt/p%20q/k", "uploadId=u"),
            ("GET", "", false, "/bkt", "max-keys=1000&prefix=p%20q%2F"),
        ] {
            let (key, asked) = at.split_once('?').unwrap_or((at, ""));
            let header = |name: &str| (copies && name == "x-amz-copy-source").then(|| copy.to_owned());
            let operation =
                Operation::parse(method, &format!("/mounted-bucket/{key}"), asked, header).unwrap();
            let target = Target::new(&operation, &bucket, &scope);
            assert_eq!(
                (target.path.as_str(), target.query.as_str()),
                (path, query),
                "{method} {at}"
            );
            let source = copies.then_some("/bkt/p%20q/b%2Bc");
            assert_eq!(target.source.as_deref(), source);
        }
        let head = Operation::Head(Key::parse("k").unwrap());
        assert_eq!(Target::new(&head, &bucket, &Scope::new(None)).path, "/bkt/k");
    }

    #[test]
    fn only_known_headers_are_forwarded() {
        for name in [
            "range",
            "x-amz-meta-mtime",
            "x-amz-server-side-encryption-aws-kms-key-id",
        ] {
            assert!(is_forwarded(name), "{name}");
        }
        for name in [
            "authorization",
            "host",
            "x-amz-copy-source",
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-grant-full-control",
            "x-forwarded-for",
        ] {
            assert!(!is_forwarded(name), "{name}");
        }
        assert_eq!(payload(Some(EMPTY)), EMPTY);
        assert_eq!(payload(Some("x\ny")), UNSIGNED);
        assert_eq!(payload(None), UNSIGNED);
    }
}
