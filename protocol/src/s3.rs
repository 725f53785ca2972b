//! The S3 that a Sandbox object speaks to the s3fs of its own sandbox, for mounts whose bucket or credentials the sandbox
//! must not have. s3fs finds it below [`path`] at an address that `sandboxd` is told with the mount.

use crate::SandboxId;

/// What the bucket of every such mount is called there: the token decides which one it is. s3fs looks for the first
/// `/NAME` in its URL, so it must be the beginning of nothing else in there: no sandbox id has a `-`.
pub const BUCKET: &str = "mounted-bucket";

/// What `HEAD` on [`path`] says as its `Content-Length`. `sandboxd` asks for it before it mounts: an answer without it
/// came from somebody else, or lost the length of what has no body, and s3fs would take every file for an empty one.
pub const PROBE_LENGTH: u64 = 4_242;

/// Where the object itself is asked; what follows is as it was below [`path`].
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
