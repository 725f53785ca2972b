//! The store of snapshots, where no R2 bucket is bound for it.

use sandbox_protocol::mount::{Bucket, Endpoint, Remote};

use super::MountConfig;
use super::mount::credentials;
use crate::error::ApiError;

/// A bucket at an S3 endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotConfig {
    /// `SNAPSHOT_BUCKET` (name; default: none), `SNAPSHOT_ENDPOINT` (URL; default: that of
    /// `R2_ACCOUNT_ID`), and `SNAPSHOT_ACCESS_KEY_ID` with `SNAPSHOT_SECRET_ACCESS_KEY` (secrets;
    /// default: the key of mounts).
    pub remote: Remote,
    /// `SNAPSHOT_REGION` (text; default auto).
    pub region: String,
}

impl SnapshotConfig {
    /// Reads the variables that `var` knows. `None`: no bucket is named. Errors: variables that are
    /// missing or do not parse.
    pub fn from_vars(
        var: impl Fn(&str) -> Option<String>,
        mounts: &MountConfig,
    ) -> Result<Option<Self>, ApiError> {
        let Some(bucket) = var("SNAPSHOT_BUCKET") else {
            return Ok(None);
        };
        let invalid = |name: &str, e: &str| ApiError::NotConfigured(format!("{name}: {e}"));
        let bucket = Bucket::parse(&bucket).map_err(|e| invalid("SNAPSHOT_BUCKET", e.message()))?;
        let endpoint = match var("SNAPSHOT_ENDPOINT") {
            Some(url) => Endpoint::parse(&url).map_err(|e| invalid("SNAPSHOT_ENDPOINT", e.message()))?,
            None => mounts
                .r2_endpoint
                .clone()
                .ok_or_else(|| invalid("SNAPSHOT_ENDPOINT", "it is missing, and SNAPSHOT_BUCKET is set"))?,
        };
        let own = credentials(&var, "SNAPSHOT_ACCESS_KEY_ID", "SNAPSHOT_SECRET_ACCESS_KEY")?;
        let credentials = own.or_else(|| mounts.credentials(endpoint.is_r2()).cloned());
        let credentials = credentials.ok_or_else(|| {
            invalid(
                "SNAPSHOT_ACCESS_KEY_ID",
                "it is missing, and SNAPSHOT_BUCKET is set",
            )
        })?;
        Ok(Some(Self {
            remote: Remote {
                bucket,
                endpoint: Some(endpoint),
                says_r2: false,
                credentials: Some(credentials),
                credential_proxy: false,
            },
            region: var("SNAPSHOT_REGION").unwrap_or_else(|| "auto".to_owned()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<Option<SnapshotConfig>, String> {
        let var = |name: &str| {
            let found = vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mounts = MountConfig::from_vars(var).map_err(|e| e.body().error)?;
        SnapshotConfig::from_vars(var, &mounts).map_err(|e| e.body().error)
    }

    #[test]
    fn a_bucket_needs_an_endpoint_and_a_key() {
        assert_eq!(config(&[]), Ok(None));
        let bucket = ("SNAPSHOT_BUCKET", "saves");
        let endpoint = ("SNAPSHOT_ENDPOINT", "https://s3.example.com");
        let key = [
            ("SNAPSHOT_ACCESS_KEY_ID", "a"),
            ("SNAPSHOT_SECRET_ACCESS_KEY", "hush"),
        ];
        let found = config(&[bucket, endpoint, key[0], key[1]]).unwrap().unwrap();
        assert_eq!(found.remote.bucket.as_str(), "saves");
        assert_eq!(found.region, "auto");
        for (vars, name) in [
            (vec![bucket], "SNAPSHOT_ENDPOINT"),
            (vec![bucket, endpoint], "SNAPSHOT_ACCESS_KEY_ID"),
            (vec![bucket, endpoint, key[1]], "SNAPSHOT_ACCESS_KEY_ID"),
            (vec![("SNAPSHOT_BUCKET", "a/b"), endpoint], "SNAPSHOT_BUCKET"),
        ] {
            let e = config(&vars).unwrap_err();
            assert!(e.contains(name) && !e.contains("hush"), "{e}");
        }
        let account = [
            ("R2_ACCOUNT_ID", "0a"),
            ("R2_ACCESS_KEY_ID", "r"),
            ("R2_SECRET_ACCESS_KEY", "s"),
        ];
        let of_account = config(&[&[bucket], &account[..]].concat()).unwrap().unwrap();
        assert_eq!(
            of_account.remote.endpoint.unwrap().as_str(),
            "https://0a.r2.cloudflarestorage.com"
        );
    }
}
