//! The S3 API of a Sandbox object for the s3fs of its own sandbox, for mounts whose bucket or
//! credentials the sandbox must not have. s3fs reaches it below [`path`], at an address in the
//! mount request to `sandboxd`.

use crate::SandboxId;

/// The name of the bucket in every such mount: the token decides which bucket it is. s3fs looks for
/// the first `/NAME` in its URL, so nothing else in there may begin with the name: no sandbox id
/// has a `-`.
pub const BUCKET: &str = "mounted-bucket";

/// The `Content-Length` of `HEAD` on [`path`]. `sandboxd` asks for it before it mounts. An answer
/// without it came from another server, or lost the length because it has no body; then s3fs would
/// take every file for an empty one.
pub const PROBE_LENGTH: u64 = 4_242;

/// The path of requests to the object itself; the rest of the path is the same as below [`path`].
pub const OBJECT: &str = "/object/s3";

/// The path of a sandbox's S3, without a slash at its end.
pub fn path(id: &SandboxId) -> String {
    format!("/v1/sandbox/{id}/s3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_is_found_where_it_is() {
        for id in ["abc", "mounted", "v"] {
            let url = format!("{}/{BUCKET}/", path(&SandboxId::parse(id).unwrap()));
            assert_eq!(
                url.find(&format!("/{BUCKET}")),
                Some(url.len() - BUCKET.len() - 2)
            );
        }
    }
}
