//! The source of a mount: a bucket at an S3 endpoint, or an R2 binding of the Worker.

use std::fmt;

use serde_json::{Map, Value, json};

use super::endpoint::Endpoint;
use super::{field, flag, text};
use crate::Invalid;

/// The source of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A bucket that is reached over the network.
    Remote(Remote),
    /// A bucket that is bound to the Worker.
    Binding(Binding),
}

/// A bucket at an S3 endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub bucket: Bucket,
    /// Its endpoint; `None`: the deployment's own R2 account.
    pub endpoint: Option<Endpoint>,
    /// Whether the client says that it is one of R2 (`provider`).
    pub says_r2: bool,
    /// Its credentials; `None`: the deployment's own, or none for a public bucket.
    pub credentials: Option<Credentials>,
    /// Whether the credentials must stay out of the sandbox.
    pub credential_proxy: bool,
}

impl Remote {
    /// Whether the bucket is one of Cloudflare's.
    pub fn is_r2(&self) -> bool {
        self.says_r2 || self.endpoint.as_ref().is_some_and(Endpoint::is_r2)
    }

    pub(super) fn write_to(&self, options: &mut Map<String, Value>) {
        if let Some(endpoint) = &self.endpoint {
            options.insert("endpoint".into(), endpoint.as_str().into());
        }
        if self.says_r2 {
            options.insert("provider".into(), "r2".into());
        }
        if let Some(Credentials { id, secret }) = &self.credentials {
            let credentials = json!({ "accessKeyId": id, "secretAccessKey": secret });
            options.insert("credentials".into(), credentials);
        }
        if self.credential_proxy {
            options.insert("credentialProxy".into(), true.into());
        }
    }
}

pub(super) fn parse(
    fields: &Map<String, Value>,
    options: &Map<String, Value>,
    bucket: Option<Bucket>,
) -> Result<Source, Invalid> {
    let endpoint = text(
        options,
        "endpoint",
        "options.endpoint must be a string when provided",
    )?;
    let binding = text(fields, "binding", "binding must be a string when provided")?;
    let remote = Remote {
        endpoint: endpoint.map(Endpoint::parse).transpose()?,
        says_r2: provider(fields, options)?.is_some_and(|name| name.eq_ignore_ascii_case("r2")),
        credentials: field(options, "credentials").map(credentials).transpose()?,
        credential_proxy: flag(options, "credentialProxy")?,
        bucket: match (bucket, binding) {
            (_, Some("")) => {
                return Err(Invalid::request(
                    "binding must be a non-empty string when provided",
                ));
            }
            (_, Some(_)) if endpoint.is_some() => {
                return Err(Invalid::request(
                    "Provide either binding or options.endpoint, not both",
                ));
            }
            (_, Some(binding)) => return Ok(Source::Binding(Binding::parse(binding)?)),
            (Some(bucket), None) => bucket,
            (None, None) if endpoint.is_some() => {
                return Err(Invalid::request(
                    "bucket must be a non-empty string for remote mounts",
                ));
            }
            (None, None) => {
                return Err(Invalid::request(
                    "bucket must be a non-empty string, or binding must be a non-empty string for R2 binding mounts",
                ));
            }
        },
    };
    Ok(Source::Remote(remote))
}

/// The field `provider`: some clients send it among the options, some beside them.
fn provider<'a>(
    fields: &'a Map<String, Value>,
    options: &'a Map<String, Value>,
) -> Result<Option<&'a str>, Invalid> {
    let inside = text(
        options,
        "provider",
        "options.provider must be a string when provided",
    )?;
    let beside = text(fields, "provider", "provider must be a string when provided")?;
    Ok(inside.or(beside))
}

fn credentials(value: &Value) -> Result<Credentials, Invalid> {
    let of = |name: &str| value.get(name).and_then(Value::as_str);
    match (of("accessKeyId"), of("secretAccessKey")) {
        (Some(id), Some(secret)) => Credentials::parse(id, secret),
        _ => Err(Invalid::request(
            "options.credentials must include string accessKeyId and secretAccessKey",
        )),
    }
}

/// A bucket's name: 1 to 255 letters, digits and `.-_`, beginning with a letter or digit. (S3
/// itself accepts 3 to 63 and no capitals today; older buckets and other stores allow more.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket(String);

impl Bucket {
    /// Parses the field `bucket`.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        if name.contains(':') {
            return Err(Invalid::request(
                "bucket must not contain ':'; a part of a bucket is named by options.prefix",
            ));
        }
        let well_formed = name.len() <= 255
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if well_formed {
            Ok(Self(name.to_owned()))
        } else {
            Err(Invalid::request(
                "bucket must be a bucket's name: up to 255 letters, digits and '.', '-' or '_'",
            ))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of an R2 binding: letters, digits and `_`, not beginning with a digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding(String);

impl Binding {
    /// Parses the field `binding`.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        let well_formed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if well_formed {
            Ok(Self(name.to_owned()))
        } else {
            Err(Invalid::request(
                "binding must be a binding's name: letters, digits and '_', not beginning with a digit",
            ))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The beginning of the keys that a mount shows, as s3fs writes it: `/a/b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Parses the field `options.prefix`, with or without slashes around it; `None` when it names
    /// the whole bucket.
    ///
    /// # Errors
    ///
    /// 400 for a text of another form.
    pub fn parse(text: &str) -> Result<Option<Self>, Invalid> {
        let names = text.trim_matches('/');
        let unusable = |name: &str| matches!(name, "" | "." | "..");
        if names.is_empty() {
            Ok(None)
        } else if names.split('/').any(unusable) {
            Err(Invalid::request(
                "options.prefix must not have empty parts, '.' or '..'",
            ))
        } else if names.len() > 1024 || names.chars().any(char::is_control) {
            Err(Invalid::request(
                "options.prefix must be at most 1024 bytes without control characters",
            ))
        } else {
            Ok(Some(Self(format!("/{names}"))))
        }
    }

    /// The prefix with a slash before it and none behind.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An access key. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    id: String,
    secret: String,
}

impl Credentials {
    /// Parses the two halves of an access key: printable ASCII without spaces and `:`, as s3fs
    /// reads them from a file.
    ///
    /// # Errors
    ///
    /// 400: the message does not repeat them.
    pub fn parse(id: &str, secret: &str) -> Result<Self, Invalid> {
        for (name, text) in [("accessKeyId", id), ("secretAccessKey", secret)] {
            let well_formed = (1..=1024).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
                && !text.starts_with(['#', '[']);
            if !well_formed {
                return Err(Invalid::request(format!(
                    "options.credentials.{name} must be printable ASCII without spaces and ':'"
                )));
            }
        }
        Ok(Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// The access key id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret access key.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}
