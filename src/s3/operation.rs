//! Method, path, query and headers → [`Operation`]: all supported operations of S3.

use sandbox_protocol::s3::BUCKET;
use sandbox_protocol::{query, workspace_path};

use super::error::S3Error;
use super::key::Key;
use super::list::Query;

/// The operation of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `HEAD /`: whether the server answers. Not part of S3.
    Probe,
    /// `GET /BUCKET?location`
    Location,
    /// `HEAD /BUCKET`
    HeadBucket,
    /// `GET /BUCKET`
    List(Query),
    /// `HEAD /BUCKET/KEY`
    Head(Key),
    /// `GET /BUCKET/KEY`
    Get(Key),
    /// `PUT /BUCKET/KEY`
    Put(Key),
    /// `PUT /BUCKET/KEY` with `x-amz-copy-source`
    Copy {
        /// The new object.
        to: Key,
        /// The object that is copied.
        from: Key,
        /// Whether the new object gets the metadata of the request.
        replaces_metadata: bool,
    },
    /// `DELETE /BUCKET/KEY`
    Delete(Key),
    /// `POST /BUCKET/KEY?uploads`
    CreateUpload(Key),
    /// `PUT /BUCKET/KEY?partNumber=N&uploadId=ID`
    UploadPart(Upload, u16),
    /// The same with `x-amz-copy-source`
    CopyPart {
        /// The upload.
        upload: Upload,
        /// The number of the part.
        part: u16,
        /// The object that is copied.
        from: Key,
        /// The first and the last byte of the source; `None`: the whole object.
        range: Option<(u64, u64)>,
    },
    /// `POST /BUCKET/KEY?uploadId=ID`
    CompleteUpload(Upload),
    /// `DELETE /BUCKET/KEY?uploadId=ID`
    AbortUpload(Upload),
}

/// A multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The key of its object.
    pub key: Key,
    /// The store's id of it.
    pub id: String,
}

/// A parameter that SDKs add for their own statistics.
const IGNORED: &str = "x-id";

impl Operation {
    /// Reads a request. `path` is the percent-encoded path after the prefix of the sandbox's S3,
    /// `header` returns the value of a header.
    pub fn parse(
        method: &str,
        path: &str,
        query: &str,
        header: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, S3Error> {
        let parameters = Parameters(query);
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            return match method {
                "HEAD" => Ok(Self::Probe),
                _ => Err(S3Error::NotImplemented(
                    "there is one bucket here, and no list of them",
                )),
            };
        }
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if workspace_path::decode(bucket).as_deref() != Ok(BUCKET) {
            return Err(S3Error::NoSuchBucket);
        }
        if key.is_empty() {
            return match method {
                "HEAD" => Ok(Self::HeadBucket),
                "GET" if parameters.are(&["location"]) && parameters.has("location") => Ok(Self::Location),
                "GET" if parameters.are(Query::PARAMETERS) => {
                    Query::parse(|name| parameters.get(name)).map(Self::List)
                }
                _ => Err(S3Error::NotImplemented("this cannot be done to a bucket here")),
            };
        }
        if header("x-amz-content-sha256").is_some_and(|hash| hash.starts_with("STREAMING-")) {
            return Err(S3Error::NotImplemented(
                "bodies are taken whole, not signed in chunks",
            ));
        }
        let key = Key::parse(key)?;
        if parameters.are(&[]) {
            return match method {
                "HEAD" => Ok(Self::Head(key)),
                "GET" => Ok(Self::Get(key)),
                "DELETE" => Ok(Self::Delete(key)),
                "PUT" => match header("x-amz-copy-source") {
                    None => Ok(Self::Put(key)),
                    Some(from) => Ok(Self::Copy {
                        to: key,
                        from: source(&from)?,
                        replaces_metadata: header("x-amz-metadata-directive")
                            .is_some_and(|directive| directive.eq_ignore_ascii_case("REPLACE")),
                    }),
                },
                _ => Err(S3Error::NotImplemented("this cannot be done to an object here")),
            };
        }
        if method == "POST" && parameters.are(&["uploads"]) {
            return Ok(Self::CreateUpload(key));
        }
        let id = parameters.get("uploadId")?.filter(|id| !id.is_empty());
        let (Some(id), true) = (id, parameters.are(&["uploadId", "partNumber"])) else {
            return Err(S3Error::NotImplemented("this cannot be done to an object here"));
        };
        let upload = Upload { key, id };
        match (method, parameters.get("partNumber")?) {
            ("POST", None) => Ok(Self::CompleteUpload(upload)),
            ("DELETE", None) => Ok(Self::AbortUpload(upload)),
            ("PUT", Some(part)) => {
                let part = part
                    .parse::<u16>()
                    .ok()
                    .filter(|part| (1..=10_000).contains(part));
                let part = part.ok_or(S3Error::InvalidRequest("partNumber is 1 to 10000"))?;
                match header("x-amz-copy-source") {
                    None => Ok(Self::UploadPart(upload, part)),
                    Some(from) => Ok(Self::CopyPart {
                        upload,
                        part,
                        from: source(&from)?,
                        range: header("x-amz-copy-source-range")
                            .map(|range| bytes(&range))
                            .transpose()?,
                    }),
                }
            }
            _ => Err(S3Error::NotImplemented("this cannot be done to an upload here")),
        }
    }

    /// Whether it changes the bucket.
    pub fn is_write(&self) -> bool {
        !matches!(
            self,
            Self::Probe | Self::Location | Self::HeadBucket | Self::List(_) | Self::Head(_) | Self::Get(_)
        )
    }
}

/// The source of a copy: `/BUCKET/KEY`, percent-encoded. It must be in the same bucket.
fn source(header: &str) -> Result<Key, S3Error> {
    if header.contains('?') {
        return Err(S3Error::NotImplemented("objects have no versions here"));
    }
    let path = header.strip_prefix('/').unwrap_or(header);
    // Some clients encode the slashes, too.
    let path = workspace_path::decode(path)
        .map_err(|_| S3Error::InvalidRequest("x-amz-copy-source is not UTF-8"))?;
    match path.split_once('/') {
        // The key is decoded already, and `Key::parse` decodes.
        Some((BUCKET, key)) => Key::parse(&key.replace('%', "%25")),
        _ => Err(S3Error::AccessDenied("x-amz-copy-source is in another bucket")),
    }
}

/// The first byte of the range in the header `Range`, if it has one.
pub fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
}

/// `bytes=FIRST-LAST`
fn bytes(range: &str) -> Result<(u64, u64), S3Error> {
    let ends = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'));
    let ends = ends.and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    ends.filter(|(first, last)| first <= last)
        .ok_or(S3Error::InvalidRequest(
            "x-amz-copy-source-range is bytes=FIRST-LAST",
        ))
}

/// The parameters of a query.
struct Parameters<'a>(&'a str);

impl Parameters<'_> {
    fn names(&self) -> impl Iterator<Item = &str> {
        let parameters = self.0.split('&').filter(|parameter| !parameter.is_empty());
        let names = parameters.map(|parameter| parameter.split('=').next().unwrap_or_default());
        names.filter(|name| *name != IGNORED)
    }

    /// Whether there are no parameters but these.
    fn are(&self, known: &[&str]) -> bool {
        self.names().all(|name| known.contains(&name))
    }

    fn has(&self, wanted: &str) -> bool {
        self.names().any(|name| name == wanted)
    }

    fn get(&self, name: &str) -> Result<Option<String>, S3Error> {
        query::value(self.0, name)
            .map_err(|_| S3Error::InvalidRequest("the query is not UTF-8, percent-encoded"))
    }
}

#[cfg(test)]
mod tests;
