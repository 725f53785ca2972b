//! The requests that mount a bucket in a sandbox, and unmount it.

mod endpoint;
mod options;
mod path;
#[cfg(feature = "schema")]
mod schema;
mod source;

use serde_json::{Map, Value, json};

pub use endpoint::Endpoint;
pub use options::S3fsOption;
pub use path::MountPath;
pub use source::{Binding, Bucket, Credentials, Prefix, Remote, Source};

use crate::Invalid;
use crate::json::{self, field};

/// The largest body of a mount or an unmount, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The checked body of `POST …/mount`. Unknown fields are ignored, a field that is `null` counts as
/// absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRequest {
    /// The bucket to mount.
    pub source: Source,
    /// The path to mount it at.
    pub mount_path: MountPath,
    /// The part of the bucket that is mounted; `None`: all of it.
    pub prefix: Option<Prefix>,
    /// Whether writes are refused.
    pub read_only: bool,
    /// More options for s3fs, in this order.
    pub s3fs_options: Vec<S3fsOption>,
}

impl MountRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        let fields = json::object(body)?;
        let bucket = match text(&fields, "bucket", "bucket must be a non-empty string")? {
            Some("") => return Err(Invalid::request("bucket must be a non-empty string")),
            bucket => bucket.map(Bucket::parse).transpose()?,
        };
        let mount_path = mount_path(&fields)?;
        let none = Map::new();
        let options = match field(&fields, "options") {
            None => &none,
            Some(Value::Object(options)) => options,
            Some(_) => return Err(Invalid::request("options must be an object")),
        };
        let s3fs_options = options::parse(field(options, "s3fsOptions"))?;
        Ok(Self {
            source: source::parse(&fields, options, bucket)?,
            mount_path,
            prefix: text(options, "prefix", "options.prefix must be a string when provided")?
                .map(Prefix::parse)
                .transpose()?
                .flatten(),
            read_only: flag(options, "readOnly")?,
            s3fs_options,
        })
    }

    /// Whether the bucket is read without credentials: the option `public_bucket`.
    pub fn is_public(&self) -> bool {
        self.s3fs_options
            .iter()
            .any(|option| option.name() == "public_bucket")
    }

    /// Whether the sandbox sees neither the bucket nor its credentials: the Sandbox object answers
    /// for them.
    pub fn is_proxied(&self) -> bool {
        match &self.source {
            Source::Binding(_) => true,
            Source::Remote(remote) => remote.credential_proxy,
        }
    }

    /// The JSON body that parses to this request. It holds the credentials.
    pub fn to_json(&self) -> String {
        let mut fields = Map::new();
        let mut options = Map::new();
        match &self.source {
            Source::Binding(binding) => {
                fields.insert("binding".into(), binding.as_str().into());
            }
            Source::Remote(remote) => {
                fields.insert("bucket".into(), remote.bucket.as_str().into());
                remote.write_to(&mut options);
            }
        }
        fields.insert("mountPath".into(), self.mount_path.as_str().into());
        if let Some(prefix) = &self.prefix {
            options.insert("prefix".into(), prefix.as_str().into());
        }
        if self.read_only {
            options.insert("readOnly".into(), true.into());
        }
        if !self.s3fs_options.is_empty() {
            let texts: Vec<_> = self.s3fs_options.iter().map(S3fsOption::as_str).collect();
            options.insert("s3fsOptions".into(), json!(texts));
        }
        fields.insert("options".into(), options.into());
        Value::Object(fields).to_string()
    }
}

/// The checked body of `POST …/unmount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmountRequest {
    /// Where the bucket is mounted.
    pub mount_path: MountPath,
}

impl UnmountRequest {
    /// Parses a JSON body.
    ///
    /// # Errors
    ///
    /// 400: the message names the field.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        Ok(Self {
            mount_path: mount_path(&json::object(body)?)?,
        })
    }

    /// The JSON body that parses to this request.
    pub fn to_json(&self) -> String {
        json!({ "mountPath": self.mount_path.as_str() }).to_string()
    }
}

fn mount_path(fields: &Map<String, Value>) -> Result<MountPath, Invalid> {
    let path = field(fields, "mountPath").and_then(Value::as_str);
    MountPath::parse(path.unwrap_or_default())
}

fn text<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
    error: &'static str,
) -> Result<Option<&'a str>, Invalid> {
    field(fields, name)
        .map(|value| value.as_str().ok_or_else(|| Invalid::request(error)))
        .transpose()
}

fn flag(options: &Map<String, Value>, name: &str) -> Result<bool, Invalid> {
    let error = || Invalid::request(format!("options.{name} must be a boolean when provided"));
    field(options, name).map_or(Ok(false), |value| value.as_bool().ok_or_else(error))
}

#[cfg(test)]
mod tests;
