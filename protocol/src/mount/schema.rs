//! The JSON Schemas of the bodies that mount and unmount: they are parsed into types of another shape. What names a file, a
//! place or a host is checked further than a schema can say.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{MountRequest, UnmountRequest};

/// What is mounted, and where: either `bucket`, or `binding` without an `options.endpoint`. Unknown fields are ignored, a
/// field that is `null` counts as absent.
#[derive(JsonSchema)]
#[schemars(rename = "MountBucketRequest", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct Mount {
    /// The bucket's name.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}$"))]
    bucket: Option<String>,
    /// The Worker's R2 binding to mount in place of a bucket.
    #[schemars(regex(pattern = r"^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    binding: Option<String>,
    /// Where: an absolute path, not of the system's and not /workspace itself.
    #[schemars(regex(pattern = r"^/[^\u0000]*$"))]
    mount_path: String,
    /// The same as in the options.
    provider: Option<String>,
    /// How.
    options: Option<Options>,
}

/// How a bucket is mounted.
#[derive(JsonSchema)]
#[schemars(rename = "MountBucketRequestOptions", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct Options {
    /// The S3 endpoint: an HTTP(S) URL without user, query and fragment. Absent: the deployment's R2 account.
    #[schemars(regex(pattern = r"^[hH][tT][tT][pP][sS]?://.+$"))]
    endpoint: Option<String>,
    /// Whether nothing can be written. False when absent.
    read_only: Option<bool>,
    /// The beginning of the keys that are shown.
    prefix: Option<String>,
    /// Absent: the deployment's own.
    credentials: Option<Credentials>,
    /// Whether the credentials stay out of the sandbox: the Worker signs its requests. False when absent.
    credential_proxy: Option<bool>,
    /// Options that tune s3fs: `name`, or `name=value`.
    #[schemars(length(max = 64))]
    s3fs_options: Option<Vec<String>>,
    /// Who runs the store: `r2`, or another name.
    provider: Option<String>,
}

/// An access key.
#[derive(JsonSchema)]
#[schemars(rename = "MountBucketCredentials", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct Credentials {
    /// Printable ASCII without `:`, not beginning with `#` or `[`.
    #[schemars(regex(pattern = r#"^[!"$-9;-Z\\-~][!-9;-~]{0,1023}$"#))]
    access_key_id: String,
    /// The same.
    #[schemars(regex(pattern = r#"^[!"$-9;-Z\\-~][!-9;-~]{0,1023}$"#))]
    secret_access_key: String,
}

/// Where a bucket is mounted.
#[derive(JsonSchema)]
#[schemars(rename = "UnmountBucketRequest", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct Unmount {
    /// The path that it was mounted on.
    #[schemars(regex(pattern = r"^/[^\u0000]*$"))]
    mount_path: String,
}

/// `stands_for!(Parsed, Wire)`: the schema of one type is that of another.
macro_rules! stands_for {
    ($parsed:ty, $wire:ty) => {
        impl JsonSchema for $parsed {
            fn schema_name() -> Cow<'static, str> {
                <$wire>::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <$wire>::json_schema(generator)
            }
        }
    };
}

stands_for!(MountRequest, Mount);
stands_for!(UnmountRequest, Unmount);
