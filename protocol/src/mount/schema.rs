//! The JSON Schemas of the bodies that mount and unmount, which are parsed into types of another
//! shape. Names of files, paths and hosts are checked further than a schema can express.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{MountRequest, UnmountRequest};

/// The body of `POST …/mount`: either `bucket`, or `binding` without an `options.endpoint`. Unknown
/// fields are ignored. A field that is `null` counts as absent.
#[derive(JsonSchema)]
#[schemars(rename = "MountBucketRequest", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct Mount {
    /// The name of the bucket.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}$"))]
    bucket: Option<String>,
    /// The R2 binding of the Worker to mount instead of a bucket.
    #[schemars(regex(pattern = r"^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    binding: Option<String>,
    /// The absolute path of the mount. Not a system directory, and not /workspace itself.
    #[schemars(regex(pattern = r"^/[^\u0000]*$"))]
    mount_path: String,
    /// The same as `provider` in the options.
    provider: Option<String>,
    /// The options of the mount.
    options: Option<Options>,
}

/// The options of a mount.
#[derive(JsonSchema)]
#[schemars(rename = "MountBucketRequestOptions", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct Options {
    /// The S3 endpoint: an HTTP(S) URL without user, query and fragment. Absent: the deployment's
    /// R2 account.
    #[schemars(regex(pattern = r"^[hH][tT][tT][pP][sS]?://.+$"))]
    endpoint: Option<String>,
    /// Whether writes are refused. Default: false.
    read_only: Option<bool>,
    /// The prefix of the keys to mount.
    prefix: Option<String>,
    /// The credentials of the bucket. Absent: the deployment's own.
    credentials: Option<Credentials>,
    /// Whether the credentials stay out of the sandbox: the Worker signs its requests. Default:
    /// false.
    credential_proxy: Option<bool>,
    /// Options that tune s3fs: `name`, or `name=value`.
    #[schemars(length(max = 64))]
    s3fs_options: Option<Vec<String>>,
    /// The provider of the store: `r2`, or another name.
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

/// The body of `POST …/unmount`.
#[derive(JsonSchema)]
#[schemars(rename = "UnmountBucketRequest", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct Unmount {
    /// The path of the mount.
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
