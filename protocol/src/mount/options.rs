//! The options of s3fs that a client may set.
//!
//! s3fs runs as root, so only options of a list are allowed. The list leaves out options that name
//! files (`use_cache`, `logfile`, `passwd_file`, `ahbe_conf`, `tmpdir`, `use_sse=custom:FILE`: s3fs
//! would read and write them as root), that replace other fields of the request (`url`, `bucket`,
//! `servicepath`), that find credentials elsewhere (`iam_role`, `profile`), that let a file of the
//! bucket become root or a device (`suid`, `dev`), and that log credentials (`curldbg`).

use serde_json::Value;

use crate::Invalid;

/// Options that stand alone.
const FLAGS: &[&str] = &[
    "allow_other",
    "async_read",
    "auto_cache",
    "big_writes",
    "compat_dir",
    "complement_stat",
    "default_permissions",
    "del_cache",
    "disable_noobj_cache",
    "ecs_v2",
    "enable_content_md5",
    "enable_noobj_cache",
    "enable_unsigned_payload",
    "kernel_cache",
    "no_check_certificate",
    "noatime",
    "nocopyapi",
    "nodev",
    "nodnscache",
    "noexec",
    "nomixupload",
    "nomultipart",
    "nonempty",
    "norenameapi",
    "nosscache",
    "nosuid",
    "notsup_compat_dir",
    "noua",
    "noxmlns",
    "requester_pays",
    "ro",
    "rw",
    "sigv2",
    "sigv4",
    "sync_read",
    "update_parent_dir_stat",
    "use_path_request_style",
    "use_rrs",
    "use_sse",
    "use_wtf8",
    "use_xattr",
];

/// Options with a value.
const VALUES: &[&str] = &[
    "attr_timeout",
    "cipher_suites",
    "connect_timeout",
    "default_acl",
    "endpoint",
    "ensure_diskfree",
    "entry_timeout",
    "free_space_ratio",
    "gid",
    "list_object_max_keys",
    "max_background",
    "max_dirty_data",
    "max_read",
    "max_readahead",
    "max_stat_cache_size",
    "max_thread_count",
    "max_write",
    "mp_umask",
    "multipart_copy_size",
    "multipart_size",
    "multireq_max",
    "negative_timeout",
    "parallel_count",
    "public_bucket",
    "readwrite_timeout",
    "region",
    "retries",
    "singlepart_copy_limit",
    "ssl_verify_hostname",
    "stat_cache_expire",
    "stat_cache_interval_expire",
    "storage_class",
    "uid",
    "umask",
    "use_rrs",
    "use_sse",
    "use_xattr",
];

/// The most options of a mount.
const MAX_OPTIONS: usize = 64;

/// One option of s3fs, `name` or `name=value`, that can neither reach a secret nor a file of the
/// sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3fsOption(String);

impl S3fsOption {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let known = match value {
            None => FLAGS.contains(&name),
            Some(_) => VALUES.contains(&name),
        };
        if !known {
            return Err(Invalid::request(format!(
                "options.s3fsOptions must not have {:?}: only options that tune s3fs can be set",
                excerpt(name)
            )));
        }
        // A comma would begin another option, a backslash quotes one.
        let is_plain = |value: &str| {
            (1..=256).contains(&value.len())
                && value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._:/+@!-".contains(&b))
        };
        let names_no_file = |value: &str| {
            name != "use_sse" || value == "1" || value.starts_with("kmsid") || value.starts_with("k:")
        };
        if value.is_none_or(|value| is_plain(value) && names_no_file(value)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::request(format!(
                "options.s3fsOptions has a value for {name:?} that s3fs cannot be given"
            )))
        }
    }

    /// The option as s3fs reads it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.split('=').next().unwrap_or_default()
    }
}

/// The beginning of a name, for an error message.
fn excerpt(name: &str) -> &str {
    let end = name.char_indices().nth(40).map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or_default()
}

pub(super) fn parse(value: Option<&Value>) -> Result<Vec<S3fsOption>, Invalid> {
    let refused = || Invalid::request("options.s3fsOptions must be an array of strings when provided");
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let items = value.as_array().ok_or_else(refused)?;
    if items.len() > MAX_OPTIONS {
        return Err(Invalid::request(format!(
            "options.s3fsOptions must have at most {MAX_OPTIONS} options"
        )));
    }
    items
        .iter()
        .map(|item| S3fsOption::parse(item.as_str().ok_or_else(refused)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(value: &Value) -> String {
        parse(Some(value)).unwrap_err().message().to_owned()
    }

    #[test]
    fn what_tunes_s3fs_is_taken_as_it_is() {
        let options = parse(Some(&json!([
            "nomixupload",
            "endpoint=eu-west-1",
            "use_sse=kmsid:arn:aws:kms:x",
            "use_sse"
        ])));
        let texts: Vec<_> = options
            .unwrap()
            .iter()
            .map(|option| option.as_str().to_owned())
            .collect();
        assert_eq!(
            texts,
            [
                "nomixupload",
                "endpoint=eu-west-1",
                "use_sse=kmsid:arn:aws:kms:x",
                "use_sse"
            ]
        );
        assert_eq!(parse(None), Ok(Vec::new()));
    }

    #[test]
    fn options_that_read_write_or_replace_are_refused() {
        for option in [
            "passwd_file=/etc/shadow",
            "url=http://elsewhere",
            "bucket=other",
            "use_cache=/tmp",
            "logfile=/etc/cron.d/x",
            "ahbe_conf=/x",
            "tmpdir=/x",
            "iam_role=auto",
            "profile=x",
            "suid",
            "dev",
            "curldbg",
            "dbglevel=debug",
            "fsname=x",
            "servicepath=/x",
            "",
            "=",
            "umask",
            "nomixupload=1",
            "-o",
        ] {
            let text = error(&json!([option]));
            assert!(text.starts_with("options.s3fsOptions must not have"), "{text}");
        }
        for option in [
            "umask=022,suid",
            "endpoint=a\\,b",
            "retries=",
            "retries=1\n",
            "use_sse=custom:/etc/shadow",
            "use_sse=c:/x",
        ] {
            let text = error(&json!([option]));
            assert!(text.contains("has a value"), "{option}: {text}");
        }
        for value in [json!("ro"), json!({}), json!([1]), json!(["ro", null])] {
            assert!(error(&value).contains("array of strings"));
        }
        assert!(error(&json!(vec!["ro"; 65])).contains("at most 64"));
        assert!(error(&json!(["é".repeat(1000)])).len() < 200);
    }
}
