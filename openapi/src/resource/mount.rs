//! Buckets as directories.

use sandbox_protocol::answer::Done;
use sandbox_protocol::route_table;
use sandbox_protocol::{ErrorCode, MountRequest, UnmountRequest};
use serde_json::json;

use crate::answer::Answer;
use crate::operation::{Operation, Required};

const TAG: &str = "Mounts";

const PLACES: &[&str] = &["mountPath must not", "mountPath is too long"];

/// Beginnings of errors of a mount that a schema cannot express.
const SOURCES: &[&str] = &[
    "mountPath must not",
    "mountPath is too long",
    "bucket must be a non-empty string, or binding",
    "bucket must be a non-empty string for remote mounts",
    "Provide either binding or options.endpoint, not both",
    "options.endpoint must be a valid HTTP(S) URL",
    "options.prefix must not have empty parts",
    "options.prefix must be at most",
    "options.s3fsOptions must not have",
    "options.s3fsOptions has a value",
];

pub fn operations() -> Vec<Operation> {
    let everything = json!({
        "bucket": "my-bucket",
        "mountPath": "/mnt/data",
        "options": {
            "endpoint": "https://ACCOUNT.r2.cloudflarestorage.com",
            "prefix": "reports/",
            "readOnly": true,
            "credentials": { "accessKeyId": "ID", "secretAccessKey": "SECRET" },
            "s3fsOptions": ["stat_cache_expire=60"],
        },
    });
    vec![
        Operation::new(
            route_table::Operation::MountBucket,
            TAG,
            "Mount a bucket",
        )
        .text(
            "Makes the bucket a directory of the sandbox, by s3fs, until it is unmounted or the sandbox ends. With `binding` or \
             `options.credentialProxy`, the Worker answers the requests of s3fs, and the sandbox has no key to the bucket.",
        )
        .json_body::<MountRequest>(
            Required::Yes,
            |body| MountRequest::parse(body).map(drop),
            &[
                (
                    "With the credentials of the deployment",
                    json!({ "bucket": "my-bucket", "mountPath": "/mnt/data" }),
                ),
                (
                    "By a binding of the Worker",
                    json!({ "binding": "MY_BUCKET", "mountPath": "/mnt/data", "options": { "prefix": "users/7" } }),
                ),
                ("All fields", everything),
            ],
        )
        .refuses_besides(SOURCES)
        .answers(
            200,
            Answer::json::<Done>("Bucket is mounted", json!({ "ok": true })),
        )
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "mountPath must be an absolute path (start with /)",
        )
        .too_large()
        .fails(
            501,
            ErrorCode::NotSupported,
            "binding and options.credentialProxy are not supported here: the sandbox's S3 requests do not reach the Worker \
             (nothing answered within 2 s). Mount the bucket by options.endpoint with credentials",
        )
        .fails(
            502,
            ErrorCode::MountError,
            "mount failed: s3fs: The specified bucket does not exist",
        ),
        Operation::new(
            route_table::Operation::UnmountBucket,
            TAG,
            "Unmount a bucket",
        )
        .text(
            "Unmounts a bucket. Written data is in the bucket when this operation answers. Starts no sandbox: a sandbox that is \
             not running has no mounts.",
        )
        .json_body::<UnmountRequest>(
            Required::Yes,
            |body| UnmountRequest::parse(body).map(drop),
            &[("Unmount", json!({ "mountPath": "/mnt/data" }))],
        )
        .refuses_besides(PLACES)
        .answers(
            200,
            Answer::json::<Done>("Bucket is unmounted", json!({ "ok": true })),
        )
        .fails(
            400,
            ErrorCode::InvalidRequest,
            "mountPath must be an absolute path (start with /)",
        )
        .too_large()
        .fails(
            501,
            ErrorCode::NotSupported,
            "not supported: sandboxd does not run as root here",
        )
        .fails(
            502,
            ErrorCode::UnmountError,
            "unmount failed: no bucket is mounted at /mnt/data",
        ),
    ]
}

impl Operation {
    fn too_large(self) -> Self {
        self.fails(
            413,
            ErrorCode::PayloadTooLarge,
            "payload too large: the limit is 65536 bytes",
        )
    }
}
