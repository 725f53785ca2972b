//! Errors in the form of S3.

use super::xml::Xml;

/// An error of S3. [`S3Error::parts`] has the status and the code of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3Error {
    /// The token, or its use, is not allowed. The text says which, and contains no key.
    AccessDenied(&'static str),
    /// There is no such bucket.
    NoSuchBucket,
    /// There is no such object.
    NoSuchKey,
    /// There is no such multipart upload.
    NoSuchUpload,
    /// The object has no such bytes.
    InvalidRange,
    /// A condition of the request does not hold.
    PreconditionFailed,
    /// The request has no `Content-Length`.
    MissingContentLength,
    /// The request is malformed.
    InvalidRequest(&'static str),
    /// S3 has the operation, but this server does not.
    NotImplemented(&'static str),
    /// The bucket's own store rejected the request.
    Refused {
        /// Its status.
        status: u16,
        /// Its code.
        code: String,
        /// The region that it names, if any.
        region: Option<String>,
    },
    /// The bucket cannot be reached, or the operation failed. A retry may help.
    Failed(String),
}

impl S3Error {
    /// Status and code.
    pub fn parts(&self) -> (u16, &str) {
        match self {
            Self::AccessDenied(_) => (403, "AccessDenied"),
            Self::NoSuchBucket => (404, "NoSuchBucket"),
            Self::NoSuchKey => (404, "NoSuchKey"),
            Self::NoSuchUpload => (404, "NoSuchUpload"),
            Self::InvalidRange => (416, "InvalidRange"),
            Self::PreconditionFailed => (412, "PreconditionFailed"),
            Self::MissingContentLength => (411, "MissingContentLength"),
            Self::InvalidRequest(_) => (400, "InvalidRequest"),
            Self::NotImplemented(_) => (501, "NotImplemented"),
            Self::Refused { status, code, .. } => (*status, code),
            Self::Failed(_) => (500, "InternalError"),
        }
    }

    /// The error of R2 with this message, which ends with its code in parentheses.
    pub fn from_r2(message: String) -> Self {
        let code = message.rsplit_once('(').map(|(_, code)| code);
        let code = code.and_then(|code| code.split(')').next()?.parse::<u32>().ok());
        let rejected = |status, code: &str| Self::Refused {
            status,
            code: code.to_owned(),
            region: None,
        };
        match code {
            Some(10_006) => Self::NoSuchBucket,
            Some(10_007) => Self::NoSuchKey,
            Some(10_024) => Self::NoSuchUpload,
            Some(10_031) => Self::PreconditionFailed,
            Some(10_039) => Self::InvalidRange,
            Some(10_011) => rejected(400, "EntityTooSmall"),
            Some(10_012) => rejected(400, "MetadataTooLarge"),
            Some(10_020) => rejected(400, "InvalidObjectName"),
            Some(10_025 | 10_048) => rejected(400, "InvalidPart"),
            Some(10_058) => rejected(503, "SlowDown"),
            Some(100_100) => rejected(400, "EntityTooLarge"),
            _ => Self::Failed(message),
        }
    }

    /// The body of the response.
    pub fn body(&self) -> String {
        let message: &str = match self {
            Self::AccessDenied(text) | Self::InvalidRequest(text) | Self::NotImplemented(text) => text,
            Self::Failed(text) => text,
            _ => "",
        };
        let mut xml = Xml::document();
        xml.open("Error");
        xml.element("Code", self.parts().1);
        xml.element("Message", message);
        if let Self::Refused {
            region: Some(region), ..
        } = self
        {
            xml.element("Region", region);
        }
        xml.close("Error");
        xml.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms() {
        let error = S3Error::NotImplemented("a < b");
        assert_eq!(error.parts().0, 501);
        assert_eq!(
            error.body(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Error><Code>NotImplemented</Code><Message>a &lt; b</Message></Error>"
        );
        let refused = S3Error::Refused {
            status: 400,
            code: "AuthorizationHeaderMalformed".into(),
            region: Some("eu-west-1".into()),
        };
        assert!(refused.body().contains("<Region>eu-west-1</Region>"));
    }

    #[test]
    fn errors_of_r2() {
        for (message, error) in [
            (
                "uploadPart: There is no such upload. (10024)",
                S3Error::NoSuchUpload,
            ),
            ("get: (x) not satisfiable (10039)", S3Error::InvalidRange),
            ("put: too small (10011)", S3Error::from_r2("(10011)".into())),
        ] {
            assert_eq!(S3Error::from_r2(message.into()), error, "{message}");
        }
        assert_eq!(
            S3Error::from_r2("(10011)".into()).parts(),
            (400, "EntityTooSmall")
        );
        let unknown = "put: We encountered an internal error. Please try again. (10001)";
        assert_eq!(S3Error::from_r2(unknown.into()), S3Error::Failed(unknown.into()));
        assert_eq!(S3Error::from_r2("lost".into()).parts().0, 500);
    }
}
