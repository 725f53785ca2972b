//! The command line of s3fs, and its output.

use std::path::Path;

use rustix::fs::{Gid, Uid};
use sandbox_protocol::MountRequest;
use sandbox_protocol::mount::{Credentials, Endpoint, Remote, S3fsOption};

/// The most bytes of s3fs's output in an error for a client.
const MAX_ERROR_TEXT: usize = 1024;

/// The options for the disk space that s3fs leaves free. It accepts one of them.
const FREE_SPACE_OPTIONS: [&str; 2] = ["ensure_diskfree", "free_space_ratio"];

/// The disk space that s3fs leaves free, in megabytes. By default it is a tenth of the disk, and
/// s3fs refuses to start on a large disk that has tens of gigabytes left.
const FREE_SPACE_MB: u32 = 256;

/// The mount that a command line of s3fs describes.
#[derive(Debug)]
pub struct CommandLine<'a> {
    /// The client's request.
    pub request: &'a MountRequest,
    /// The bucket.
    pub remote: &'a Remote,
    /// The file with the credentials, for a bucket that needs them.
    pub key_file: Option<&'a Path>,
    /// The directory to mount on.
    pub target: &'a Path,
    /// The owner of its files.
    pub owner: (Uid, Gid),
}

impl CommandLine<'_> {
    /// The arguments. They hold no secret: every process of the sandbox can read them.
    pub fn arguments(&self) -> Vec<String> {
        let Self { request, remote, .. } = self;
        let mut options: Vec<String> = Vec::new();
        let mut add = |option: &str| options.push(option.to_owned());
        // First, so that the client's own options win.
        if !remote.endpoint.as_ref().is_some_and(Endpoint::is_amazon) {
            add("use_path_request_style");
        }
        if remote.is_r2() {
            add("nomixupload");
            add("endpoint=auto");
        }
        add(&format!("uid={}", self.owner.0.as_raw()));
        add(&format!("gid={}", self.owner.1.as_raw()));
        let is_free_space = |option: &S3fsOption| FREE_SPACE_OPTIONS.contains(&option.name());
        if !request.s3fs_options.iter().any(is_free_space) {
            add(&format!("ensure_diskfree={FREE_SPACE_MB}"));
        }
        for option in &request.s3fs_options {
            add(option.as_str());
        }
        // Last, so that these win. A file of the bucket must not become root or a device.
        for option in ["allow_other", "nosuid", "nodev"] {
            add(option);
        }
        if request.read_only {
            add("ro");
        }
        if let Some(endpoint) = &remote.endpoint {
            add(&format!("url={}", endpoint.as_str()));
        }
        if let Some(file) = self.key_file {
            add(&format!("passwd_file={}", file.display()));
        }
        let prefix = request.prefix.as_ref().map_or("", |prefix| prefix.as_str());
        let bucket = match prefix {
            "" => remote.bucket.as_str().to_owned(),
            prefix => format!("{}:{prefix}", remote.bucket.as_str()),
        };
        // In the foreground, so that it stays our child and we read its output.
        let mut arguments = vec![bucket, self.target.display().to_string(), "-f".to_owned()];
        for option in options {
            arguments.extend(["-o".to_owned(), option]);
        }
        arguments
    }
}

/// Whether the client allows a mount to hide what a directory holds.
pub fn may_hide(options: &[S3fsOption]) -> bool {
    options.iter().any(|option| option.name() == "nonempty")
}

/// The file that s3fs reads credentials from.
pub fn key_file(credentials: &Credentials) -> String {
    format!("{}:{}\n", credentials.id(), credentials.secret())
}

/// The errors in the output of s3fs, for a client: one line, without times, positions in its source
/// and secrets.
pub fn error_text(output: &str, credentials: Option<&Credentials>) -> Option<String> {
    // `2026-11-21T06:39:52.142Z [CRT] s3fs.cpp:s3fs_check_service(3590): …`
    let bare = |line: &'_ str| -> String {
        let text = line.split_once("] ").map_or(line, |(_, text)| text);
        match text.split_once("): ") {
            Some((source, text)) if source.contains(".cpp:") => text.trim().to_owned(),
            _ => text.trim().to_owned(),
        }
    };
    let lines: Vec<_> = output
        .lines()
        .filter(|line| !line.contains(" [INF] ") && !line.trim().is_empty())
        .map(bare)
        .collect();
    let mut text = lines.join("; ");
    if let Some(credentials) = credentials {
        for secret in [credentials.secret(), credentials.id()] {
            // A shorter secret protects nothing, and replacing it would make every text unreadable.
            if secret.len() >= 4 {
                text = text.replace(secret, "…");
            }
        }
    }
    text.retain(|c| !c.is_control());
    // The end, as the last error explains most.
    let start = text.len().saturating_sub(MAX_ERROR_TEXT);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at))?;
    text.get(start..)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sandbox_protocol::mount::Source;

    use super::*;

    fn arguments(body: &str, with_key: bool) -> Vec<String> {
        let request = MountRequest::parse(body.as_bytes()).unwrap();
        let Source::Remote(remote) = &request.source else {
            panic!("a remote");
        };
        let key = PathBuf::from("/run/k/key");
        CommandLine {
            request: &request,
            remote,
            key_file: with_key.then_some(key.as_path()),
            target: Path::new("/run/k/bucket"),
            owner: (Uid::from_raw(1000), Gid::from_raw(1001)),
        }
        .arguments()
    }

    #[test]
    fn the_order_of_options_decides_who_wins() {
        let line = arguments(
            r#"{"bucket":"b","mountPath":"/m","options":{"endpoint":"https://a.r2.cloudflarestorage.com","prefix":"p/q",
                "readOnly":true,"s3fsOptions":["endpoint=weur","rw"],"credentials":{"accessKeyId":"AKID","secretAccessKey":"hush"}}}"#,
            true,
        );
        assert_eq!(
            line.join(" "),
            "b:/p/q /run/k/bucket -f -o use_path_request_style -o nomixupload -o endpoint=auto -o uid=1000 -o gid=1001 \
             -o ensure_diskfree=256 -o endpoint=weur -o rw -o allow_other -o nosuid -o nodev -o ro -o url=https://a.r2.cloudflarestorage.com \
             -o passwd_file=/run/k/key"
        );
    }

    #[test]
    fn amazon_is_addressed_by_host() {
        let line = arguments(
            r#"{"bucket":"b","mountPath":"/m","options":{"endpoint":"https://s3.amazonaws.com","s3fsOptions":["public_bucket=1","free_space_ratio=5"]}}"#,
            false,
        );
        assert_eq!(
            line.join(" "),
            "b /run/k/bucket -f -o uid=1000 -o gid=1001 -o public_bucket=1 -o free_space_ratio=5 -o allow_other \
             -o nosuid -o nodev -o url=https://s3.amazonaws.com"
        );
    }

    #[test]
    fn the_error_text_has_the_errors_without_secrets() {
        let output = "2026-11-21T06:39:52.133Z [INF] s3fs version 1.90(unknown) : s3fs -f -o url=http://h b m\n\
            2026-11-21T06:39:52.142Z [CRT] s3fs.cpp:s3fs_check_service(3590): invalid credentials(host=http://h) for AKID/hush.\n\
            fuse: device not found\n";
        let key = Credentials::parse("AKID", "hush").unwrap();
        assert_eq!(
            error_text(output, Some(&key)).unwrap(),
            "invalid credentials(host=http://h) for …/….; fuse: device not found"
        );
        assert_eq!(error_text("2026 [INF] nothing\n\n", None), None);
        assert_eq!(error_text("", None), None);
        let long = error_text(&"é".repeat(5000), None).unwrap();
        assert_eq!(long.len(), MAX_ERROR_TEXT);
    }
}
