//! The validators that tell one version of a file from another, and the conditions that use them
//! (RFC 9110, sections 8.8 and 13).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::unique_mtimes::UniqueMtimes;

/// The validators of a file at one point in time.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    /// Strong: inode, size, and the times of modification and of change in nanoseconds. No command
    /// can set the latter. While the file may change again with the same times, every response gets
    /// a unique one.
    etag: String,
    /// In whole seconds, as in HTTP. `None` when HTTP has no date for it: before 1970, or later
    /// than now.
    modified: Option<SystemTime>,
    /// Whether `modified` is a strong validator: its second has passed, and the file was not
    /// changed in a later one, such as by a command that writes it and sets the old time again.
    is_modified_strong: bool,
}

impl Validators {
    /// The validators of the file with this `metadata`, asked for at `now`.
    pub(super) fn new(metadata: &Metadata, now: SystemTime, stamps: &UniqueMtimes) -> Self {
        let modified = u64::try_from(metadata.mtime())
            .ok()
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        let (ino, size) = (metadata.ino(), metadata.size());
        let mtime = (metadata.mtime(), metadata.mtime_nsec());
        let ctime = (metadata.ctime(), metadata.ctime_nsec());
        let mut etag = format!(
            "\"{ino:x}-{size:x}-{:x}.{:x}-{:x}.{:x}",
            mtime.0, mtime.1, ctime.0, ctime.1
        );
        if !is_settled(ctime, now) && !stamps.has(metadata) {
            let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            etag.push_str(&format!("-{:x}", since.as_nanos()));
        }
        etag.push('"');
        Self {
            etag,
            is_modified_strong: ctime.0 <= mtime.0
                && modified.is_some_and(|modified| now >= modified + Duration::from_secs(1)),
            modified: modified.filter(|modified| *modified <= now),
        }
    }

    /// The entity tag.
    pub(super) fn etag(&self) -> &str {
        &self.etag
    }

    /// Whether the client has this version: `If-None-Match`, or without it `If-Modified-Since`.
    pub(super) fn not_modified(&self, request: &HeaderMap) -> bool {
        if request.contains_key(header::IF_NONE_MATCH) {
            return request
                .get_all(header::IF_NONE_MATCH)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(str::trim)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag);
        }
        let since = date(request, header::IF_MODIFIED_SINCE);
        matches!((self.modified, since), (Some(modified), Some(since)) if modified <= since)
    }

    /// Whether `Range` applies: there is no `If-Range`, or it names this version.
    pub(super) fn range_applies(&self, request: &HeaderMap) -> bool {
        let Some(condition) = request.get(header::IF_RANGE) else {
            return true;
        };
        if condition.as_bytes() == self.etag.as_bytes() {
            return true;
        }
        self.is_modified_strong && date(request, header::IF_RANGE) == self.modified
    }

    /// Adds `ETag`.
    pub(super) fn write_etag_to(&self, response: &mut HeaderMap) {
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            response.insert(header::ETAG, etag);
        }
    }

    /// Adds `ETag` and `Last-Modified`.
    pub(super) fn write_to(&self, response: &mut HeaderMap) {
        self.write_etag_to(response);
        // `now` is far from the year 10000, at which the formatter would panic.
        let date = self.modified.map(httpdate::fmt_http_date);
        if let Some(Ok(date)) = date.map(HeaderValue::try_from) {
            response.insert(header::LAST_MODIFIED, date);
        }
    }
}

/// Whether any change after `now` gives a file another ctime than this one. The kernel's clock for
/// files ticks at least every 10 ms; file systems with a resolution of one or two seconds
/// have no nanoseconds.
fn is_settled((seconds, nanoseconds): (i64, i64), now: SystemTime) -> bool {
    let tick = match nanoseconds {
        0 => Duration::from_secs(2),
        _ => Duration::from_millis(10),
    };
    let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u32::try_from(nanoseconds)) else {
        return true;
    };
    UNIX_EPOCH
        .checked_add(Duration::new(seconds, nanoseconds) + tick)
        .is_some_and(|settled| settled < now)
}

fn date(request: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(request.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: &str = "Fri, 14 Jul 2017 02:40:00 GMT";

    /// A file modified at second 1500000000, seen at `now`.
    fn seen_at(now: u64) -> Validators {
        let file = tempfile::tempfile().unwrap();
        let modified = UNIX_EPOCH + Duration::from_millis(1_500_000_000_500);
        file.set_modified(modified).unwrap();
        Validators::new(
            &file.metadata().unwrap(),
            UNIX_EPOCH + Duration::from_secs(now),
            &UniqueMtimes::default(),
        )
    }

    fn request(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn none_match_compares_weakly_and_overrides_the_date() {
        let file = seen_at(1_600_000_000);
        let etag = file.etag.clone();
        for (value, same) in [
            (etag.clone(), true),
            (format!("W/{etag}"), true),
            (format!("\"other\", {etag}"), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
            (etag.trim_matches('"').to_owned(), false),
        ] {
            let mut request = request(header::IF_NONE_MATCH, &value);
            request.insert(header::IF_MODIFIED_SINCE, HeaderValue::from_static(MODIFIED));
            assert_eq!(file.not_modified(&request), same, "{value}");
        }
    }

    #[test]
    fn modified_since_counts_in_seconds() {
        let file = seen_at(1_600_000_000);
        for (value, same) in [
            (MODIFIED, true),
            ("Fri, 14 Jul 2017 02:40:01 GMT", true),
            ("Fri, 14 Jul 2017 02:39:59 GMT", false),
            ("yesterday", false),
        ] {
            let request = request(header::IF_MODIFIED_SINCE, value);
            assert_eq!(file.not_modified(&request), same, "{value}");
        }
    }

    #[test]
    fn if_range_needs_a_strong_validator() {
        let file = seen_at(1_600_000_000);
        for (value, applies) in [
            (file.etag.clone(), true),
            (format!("W/{}", file.etag), false),
            ("\"other\"".to_owned(), false),
            // It was changed later than that.
            (MODIFIED.to_owned(), false),
        ] {
            assert_eq!(
                file.range_applies(&request(header::IF_RANGE, &value)),
                applies,
                "{value}"
            );
        }
        assert!(file.range_applies(&HeaderMap::new()));
    }

    #[test]
    fn a_date_is_a_strong_validator_of_what_was_not_changed_after_its_second() {
        let file = tempfile::tempfile().unwrap();
        let written = file.metadata().unwrap();
        let second = UNIX_EPOCH + Duration::from_secs(written.mtime() as u64);
        let applies = |metadata: &Metadata, after: u64| {
            let validators = Validators::new(
                metadata,
                second + Duration::from_millis(after),
                &UniqueMtimes::default(),
            );
            let date = |date| request(header::IF_RANGE, &httpdate::fmt_http_date(date));
            assert!(!validators.range_applies(&date(second - Duration::from_secs(1))));
            validators.range_applies(&date(second))
        };
        assert!(!applies(&written, 999));
        assert!(applies(&written, 1000));
        // Changed in a later second, under the same time: the clock of the kernel decides.
        std::thread::sleep(Duration::from_millis(1010));
        file.set_modified(written.modified().unwrap()).unwrap();
        assert!(!applies(&file.metadata().unwrap(), 5000));
    }

    #[test]
    fn a_file_that_was_just_changed_has_a_tag_for_each_response() {
        let file = tempfile::tempfile().unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        let metadata = file.metadata().unwrap();
        let changed = UNIX_EPOCH + Duration::new(metadata.ctime() as u64, metadata.ctime_nsec() as u32);
        let tag = |after: u64| {
            Validators::new(
                &metadata,
                changed + Duration::from_millis(after),
                &UniqueMtimes::default(),
            )
            .etag
        };
        assert_ne!(tag(0), tag(1));
        assert_ne!(tag(1), tag(2100));
        assert_eq!(tag(2100), tag(3000));
    }

    #[test]
    fn a_date_that_http_cannot_express_is_left_out() {
        let mut headers = HeaderMap::new();
        seen_at(1_600_000_000).write_to(&mut headers);
        assert_eq!(headers[header::LAST_MODIFIED], MODIFIED);

        headers.clear();
        seen_at(1_400_000_000).write_to(&mut headers);
        assert!(headers.contains_key(header::ETAG));
        assert!(!headers.contains_key(header::LAST_MODIFIED));
    }
}
