//! The credential of an s3fs: the header `Authorization` of Signature Version 4. Its access key id
//! is the token of a mount. The signature is not verified: a sender that knows the token could make
//! one.

use std::fmt;

/// The credential of a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The access key id.
    pub token: String,
    /// The region that s3fs assumes for the bucket.
    pub region: String,
}

impl Credential {
    /// Reads `AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/s3/aws4_request, …`.
    pub fn parse(header: &str) -> Option<Self> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let credential = fields
            .split(',')
            .find_map(|field| field.trim().strip_prefix("Credential="))?;
        let mut parts = credential.split('/');
        let (token, _date, region) = (parts.next()?, parts.next()?, parts.next()?);
        let is_region = (1..=64).contains(&region.len())
            && region
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        (is_region && !token.is_empty()).then(|| Self {
            token: token.to_owned(),
            region: region.to_owned(),
        })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_credentials_are_read() {
        let credential = Credential::parse(
            "AWS4-HMAC-SHA256 Credential=tok/20261121/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0",
        );
        let credential = credential.unwrap();
        assert_eq!(
            (credential.token.as_str(), credential.region.as_str()),
            ("tok", "eu-west-1")
        );
        for header in [
            "",
            "Bearer tok",
            "AWS tok:sig",
            "AWS4-HMAC-SHA256 SignedHeaders=host",
            "AWS4-HMAC-SHA256 Credential=tok",
            "AWS4-HMAC-SHA256 Credential=tok/20261121",
            "AWS4-HMAC-SHA256 Credential=/20261121/auto/s3/aws4_request",
            "AWS4-HMAC-SHA256 Credential=tok/20261121//s3/aws4_request",
            "AWS4-HMAC-SHA256 Credential=tok/20261121/a b/s3/aws4_request",
        ] {
            assert_eq!(Credential::parse(header), None, "{header}");
        }
    }
}
