//! The request body that completes a multipart upload.

use super::error::S3Error;
use super::xml;

/// The maximum of bytes of such a body: 10,000 parts.
pub const MAX_BODY: usize = 2 * 1024 * 1024;

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1.
    pub number: u16,
    /// Its entity tag, without quotes.
    pub etag: String,
}

/// Reads `<CompleteMultipartUpload><Part><PartNumber>…</PartNumber><ETag>…</ETag></Part>…`.
pub fn parse(body: &str) -> Result<Vec<Part>, S3Error> {
    let part = |part: &str| {
        Some(Part {
            number: xml::text(part, "PartNumber")?.trim().parse().ok()?,
            etag: xml::text(part, "ETag")?.trim().trim_matches('"').to_owned(),
        })
    };
    let parts: Option<Vec<Part>> = xml::elements(body, "Part").map(part).collect();
    parts
        .filter(|parts| !parts.is_empty())
        .ok_or(S3Error::InvalidRequest(
            "the parts are not listed as they should be",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_with_and_without_quotes() {
        let parts = parse(
            "<CompleteMultipartUpload>\n<Part>\n  <PartNumber>1</PartNumber>\n  <ETag>&quot;a&quot;</ETag>\n</Part>\n\
             <Part><ETag>\"b\"</ETag><PartNumber>10000</PartNumber></Part></CompleteMultipartUpload>",
        );
        let part = |number, etag: &str| Part {
            number,
            etag: etag.into(),
        };
        assert_eq!(parts.unwrap(), [part(1, "a"), part(10_000, "b")]);
        for body in [
            "",
            "<CompleteMultipartUpload/>",
            "<Part></Part>",
            "<Part><PartNumber>x</PartNumber><ETag>a</ETag></Part>",
            "<Part><PartNumber>1</PartNumber></Part>",
        ] {
            assert!(parse(body).is_err(), "{body}");
        }
    }
}
