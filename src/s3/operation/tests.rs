use super::*;

const COPY: (&str, &str) = ("x-amz-copy-source", "/mounted-bucket/a%20b");

fn parse(method: &str, at: &str, headers: &[(&str, &str)]) -> Result<Operation, S3Error> {
    let (path, query) = at.split_once('?').unwrap_or((at, ""));
    Operation::parse(method, path, query, |name| {
        let found = headers.iter().find(|(found, _)| *found == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn upload() -> Upload {
    Upload {
        key: key("k"),
        id: "u+1".to_owned(),
    }
}

#[test]
fn every_operation() {
    for (method, at, headers, operation) in [
        ("HEAD", "", &[][..], Operation::Probe),
        ("HEAD", "/", &[], Operation::Probe),
        ("HEAD", "/mounted-bucket", &[], Operation::HeadBucket),
        ("GET", "/mounted-bucket/?location", &[], Operation::Location),
        ("HEAD", "/mounted-bucket/k", &[], Operation::Head(key("k"))),
        ("GET", "/mounted-bucket/k/l/", &[], Operation::Get(key("k/l/"))),
        (
            "GET",
            "/mounted-bucket/k?x-id=GetObject",
            &[],
            Operation::Get(key("k")),
        ),
        ("PUT", "/mounted-bucket/k", &[], Operation::Put(key("k"))),
        ("DELETE", "/mounted-bucket/k", &[], Operation::Delete(key("k"))),
        (
            "PUT",
            "/mounted-bucket/k",
            &[COPY, ("x-amz-metadata-directive", "REPLACE")],
            Operation::Copy {
                to: key("k"),
                from: key("a b"),
                replaces_metadata: true,
            },
        ),
        (
            "PUT",
            "/mounted-bucket/k",
            &[("x-amz-copy-source", "mounted-bucket%2F100%25")],
            Operation::Copy {
                to: key("k"),
                from: key("100%25"),
                replaces_metadata: false,
            },
        ),
        (
            "POST",
            "/mounted-bucket/k?uploads",
            &[],
            Operation::CreateUpload(key("k")),
        ),
        (
            "POST",
            "/mounted-bucket/k?uploads=",
            &[],
            Operation::CreateUpload(key("k")),
        ),
        (
            "PUT",
            "/mounted-bucket/k?partNumber=10000&uploadId=u%2B1",
            &[],
            Operation::UploadPart(upload(), 10_000),
        ),
        (
            "PUT",
            "/mounted-bucket/k?partNumber=2&uploadId=u%2B1",
            &[COPY, ("x-amz-copy-source-range", "bytes=5-9")],
            Operation::CopyPart {
                upload: upload(),
                part: 2,
                from: key("a b"),
                range: Some((5, 9)),
            },
        ),
        (
            "POST",
            "/mounted-bucket/k?uploadId=u%2B1",
            &[],
            Operation::CompleteUpload(upload()),
        ),
        (
            "DELETE",
            "/mounted-bucket/k?uploadId=u%2B1",
            &[],
            Operation::AbortUpload(upload()),
        ),
    ] {
        let parsed = parse(method, at, headers).unwrap();
        assert_eq!(parsed, operation, "{method} {at}");
        let reads = matches!(method, "GET" | "HEAD");
        assert_eq!(parsed.is_write(), !reads, "{method} {at}");
    }
    let listed = parse("GET", "/mounted-bucket?delimiter=/&prefix=a%2F&max-keys=7", &[]).unwrap();
    assert!(matches!(listed, Operation::List(_)) && !listed.is_write());
}

#[test]
fn keys_outside_the_bucket_are_denied() {
    for (method, at, headers) in [
        ("GET", "/mounted-bucket/a/..%2F..%2Fb", &[][..]),
        ("PUT", "/mounted-bucket/%2e%2e/b", &[]),
        ("PUT", "/mounted-bucket/k", &[("x-amz-copy-source", "/other/key")]),
        (
            "PUT",
            "/mounted-bucket/k",
            &[("x-amz-copy-source", "/mounted-bucket/../key")],
        ),
        (
            "PUT",
            "/mounted-bucket/k",
            &[("x-amz-copy-source", "/mounted-bucket/a/%2e%2E/key")],
        ),
        (
            "PUT",
            "/mounted-bucket/k?partNumber=1&uploadId=u",
            &[("x-amz-copy-source", "other/key")],
        ),
    ] {
        let error = parse(method, at, headers).unwrap_err();
        assert_eq!(error.parts(), (403, "AccessDenied"), "{method} {at}");
    }
    for at in ["/other", "/other/key", "/mounted-bucket2/k"] {
        assert_eq!(parse("GET", at, &[]), Err(S3Error::NoSuchBucket), "{at}");
    }
}

#[test]
fn everything_else_is_not_implemented() {
    for (method, at) in [
        ("GET", ""),
        ("GET", "/mounted-bucket?acl"),
        ("GET", "/mounted-bucket?location&prefix=a"),
        ("GET", "/mounted-bucket?uploads"),
        ("GET", "/mounted-bucket?versions"),
        ("PUT", "/mounted-bucket"),
        ("DELETE", "/mounted-bucket"),
        ("POST", "/mounted-bucket?delete"),
        ("GET", "/mounted-bucket/k?acl"),
        ("PUT", "/mounted-bucket/k?tagging"),
        ("GET", "/mounted-bucket/k?versionId=1"),
        ("GET", "/mounted-bucket/k?uploadId=1"),
        ("POST", "/mounted-bucket/k"),
        ("POST", "/mounted-bucket/k?uploads&uploadId=1"),
        ("PUT", "/mounted-bucket/k?uploadId=1"),
        ("PUT", "/mounted-bucket/k?partNumber=1"),
        ("PATCH", "/mounted-bucket/k"),
    ] {
        let error = parse(method, at, &[]).unwrap_err();
        assert_eq!(error.parts(), (501, "NotImplemented"), "{method} {at}");
    }
    let chunked = [("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")];
    assert_eq!(
        parse("PUT", "/mounted-bucket/k", &chunked).unwrap_err().parts().0,
        501
    );
    let version = [("x-amz-copy-source", "/mounted-bucket/k?versionId=1")];
    assert_eq!(
        parse("PUT", "/mounted-bucket/k", &version).unwrap_err().parts().0,
        501
    );
}

#[test]
fn broken_requests() {
    for at in [
        "/mounted-bucket/k?partNumber=0&uploadId=u",
        "/mounted-bucket/k?partNumber=10001&uploadId=u",
        "/mounted-bucket/k?partNumber=x&uploadId=u",
        "/mounted-bucket/%FF",
        "/mounted-bucket/k?uploadId=%FF",
    ] {
        assert_eq!(parse("PUT", at, &[]).unwrap_err().parts().0, 400, "{at}");
    }
    for range in ["", "5-9", "bytes=5-", "bytes=9-5", "bytes=-5"] {
        let headers = [COPY, ("x-amz-copy-source-range", range)];
        let error = parse("PUT", "/mounted-bucket/k?partNumber=1&uploadId=u", &headers);
        assert_eq!(error.unwrap_err().parts().0, 400, "{range}");
    }
}
