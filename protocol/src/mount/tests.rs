use super::*;

fn parse(body: &str) -> Result<MountRequest, String> {
    MountRequest::parse(body.as_bytes()).map_err(|e| {
        assert_eq!(e.status(), 400);
        e.message().to_owned()
    })
}

fn remote(body: &str) -> Remote {
    match parse(body).unwrap().source {
        Source::Remote(remote) => remote,
        source => panic!("{source:?}"),
    }
}

#[test]
fn the_smallest_bodies() {
    let request = parse(r#"{"bucket":"b","mountPath":"/mnt/data"}"#).unwrap();
    assert_eq!(request.mount_path.as_str(), "/mnt/data");
    assert_eq!((request.prefix, request.read_only), (None, false));
    let source = remote(r#"{"bucket":"b","mountPath":"/m","options":null,"binding":null}"#);
    assert_eq!(
        (source.endpoint, source.credentials, source.credential_proxy),
        (None, None, false)
    );
    let request = parse(r#"{"binding":"MY_BUCKET","mountPath":"/m","options":{}}"#).unwrap();
    assert_eq!(
        request.source,
        Source::Binding(Binding::parse("MY_BUCKET").unwrap())
    );
    // As in the reference: without an endpoint the binding counts.
    let request = parse(r#"{"bucket":"b","binding":"B","mountPath":"/m"}"#).unwrap();
    assert!(matches!(request.source, Source::Binding(_)));
}

#[test]
fn the_json_form_reads_back() {
    for body in [
        r#"{"bucket":"b","mountPath":"/m"}"#,
        r#"{"binding":"B","mountPath":"/m","options":{"readOnly":true,"prefix":"a/"}}"#,
        r#"{"bucket":"b","mountPath":"/m","options":{"endpoint":"HTTPS://h:9000/","provider":"r2","readOnly":true,
            "prefix":"/a/b/","credentialProxy":true,"s3fsOptions":["umask=022","ro"],
            "credentials":{"accessKeyId":"i","secretAccessKey":"s/+="}}}"#,
    ] {
        let request = parse(body).unwrap();
        assert_eq!(parse(&request.to_json()).unwrap(), request, "{body}");
    }
    let request = parse(
        r#"{"bucket":"b","mountPath":"/m/","options":{"endpoint":"http://h/","prefix":"a","credentials":
            {"accessKeyId":"i","secretAccessKey":"s"}}}"#,
    );
    assert_eq!(
        request.unwrap().to_json(),
        r#"{"bucket":"b","mountPath":"/m","options":{"credentials":{"accessKeyId":"i","secretAccessKey":"s"},"endpoint":"http://h","prefix":"/a"}}"#
    );
    let request = UnmountRequest::parse(br#"{"mountPath":"/m/.","other":1}"#).unwrap();
    assert_eq!(request.to_json(), r#"{"mountPath":"/m"}"#);
}

#[test]
fn providers_and_endpoints() {
    let of = |options: &str| {
        remote(&format!(
            r#"{{"bucket":"b","mountPath":"/m","options":{{{options}}}}}"#
        ))
    };
    assert!(of(r#""endpoint":"https://acct.r2.cloudflarestorage.com""#).is_r2());
    assert!(of(r#""endpoint":"https://acct.eu.R2.cloudflarestorage.com:443/""#).is_r2());
    assert!(of(r#""provider":"R2""#).is_r2());
    assert!(!of(r#""endpoint":"https://evilr2.cloudflarestorage.com.example""#).is_r2());
    assert!(!of(r#""provider":"minio""#).is_r2());
    assert!(remote(r#"{"bucket":"b","mountPath":"/m","provider":"r2"}"#).is_r2());
    for (url, is_amazon) in [
        ("https://s3.amazonaws.com", true),
        ("https://s3.eu-west-1.amazonaws.com/", true),
        ("https://notamazonaws.com", false),
        ("http://[::1]:9000/path", false),
    ] {
        assert_eq!(Endpoint::parse(url).unwrap().is_amazon(), is_amazon, "{url}");
    }
    assert_eq!(
        Endpoint::of_r2_account("0a1b").unwrap().as_str(),
        "https://0a1b.r2.cloudflarestorage.com"
    );
    assert_eq!(Endpoint::of_r2_account("a.example/"), None);
}

#[test]
fn a_public_bucket_needs_no_credentials() {
    let with = |option: &str| {
        parse(&format!(
            r#"{{"bucket":"b","mountPath":"/m","options":{{"s3fsOptions":["{option}"]}}}}"#
        ))
        .unwrap()
    };
    assert!(with("public_bucket=1").is_public());
    assert!(!with("retries=1").is_public());
}

#[test]
fn credentials_show_themselves_to_nobody() {
    let source = remote(
        r#"{"bucket":"b","mountPath":"/m","options":{"credentials":{"accessKeyId":"AKID","secretAccessKey":"hush"}}}"#,
    );
    let debug = format!("{source:?}");
    assert!(!debug.contains("AKID") && !debug.contains("hush"), "{debug}");
}

#[test]
fn each_error_names_its_field() {
    for (body, word) in [
        ("", "Invalid JSON body"),
        ("[]", "Invalid JSON body"),
        ("{}", "mountPath must be a non-empty string"),
        (r#"{"bucket":"b"}"#, "mountPath must be a non-empty string"),
        (
            r#"{"bucket":"b","mountPath":5}"#,
            "mountPath must be a non-empty string",
        ),
        (
            r#"{"bucket":"b","mountPath":"m"}"#,
            "mountPath must be an absolute path",
        ),
        (r#"{"bucket":"b","mountPath":"/"}"#, "filesystem root"),
        (
            r#"{"bucket":"","mountPath":"/m"}"#,
            "bucket must be a non-empty string",
        ),
        (
            r#"{"bucket":1,"mountPath":"/m"}"#,
            "bucket must be a non-empty string",
        ),
        (r#"{"bucket":"b:/p","mountPath":"/m"}"#, "options.prefix"),
        (r#"{"bucket":"-b","mountPath":"/m"}"#, "bucket must be"),
        (r#"{"bucket":"b/c","mountPath":"/m"}"#, "bucket must be"),
        (r#"{"mountPath":"/m"}"#, "bucket must be a non-empty string"),
        (
            r#"{"mountPath":"/m","options":{"endpoint":"http://h"}}"#,
            "bucket must be a non-empty string for remote mounts",
        ),
        (
            r#"{"bucket":"b","mountPath":"/m","options":[]}"#,
            "options must be an object",
        ),
        (
            r#"{"bucket":"b","mountPath":"/m","options":"x"}"#,
            "options must be an object",
        ),
        (
            r#"{"binding":1,"mountPath":"/m"}"#,
            "binding must be a string when provided",
        ),
        (
            r#"{"binding":"","mountPath":"/m"}"#,
            "binding must be a non-empty string",
        ),
        (r#"{"binding":"a-b","mountPath":"/m"}"#, "binding must be"),
        (
            r#"{"binding":"B","mountPath":"/m","options":{"endpoint":"http://h"}}"#,
            "Provide either binding or options.endpoint, not both",
        ),
    ] {
        let message = parse(body).unwrap_err();
        assert!(message.contains(word), "{body}: {message}");
    }
    for body in ["", "{}", r#"{"mountPath":"/"}"#, r#"{"mountPath":"x"}"#] {
        assert_eq!(UnmountRequest::parse(body.as_bytes()).unwrap_err().status(), 400);
    }
}

#[test]
fn each_option_has_its_type() {
    for (option, word) in [
        (
            r#""endpoint":5"#,
            "options.endpoint must be a string when provided",
        ),
        (r#""endpoint":"h""#, "options.endpoint must be a valid"),
        (r#""endpoint":"ftp://h""#, "options.endpoint must be a valid"),
        (r#""endpoint":"http://""#, "options.endpoint must be a valid"),
        (r#""endpoint":"http://u:p@h""#, "options.endpoint must be a valid"),
        (r#""endpoint":"http://h:0""#, "options.endpoint must be a valid"),
        (
            r#""endpoint":"http://h:99999""#,
            "options.endpoint must be a valid",
        ),
        (r#""endpoint":"http://h?a=b""#, "options.endpoint must be a valid"),
        (
            r#""endpoint":"http://h,suid""#,
            "options.endpoint must be a valid",
        ),
        (r#""endpoint":"http://[::x]""#, "options.endpoint must be a valid"),
        (
            r#""readOnly":"yes""#,
            "options.readOnly must be a boolean when provided",
        ),
        (
            r#""credentialProxy":1"#,
            "options.credentialProxy must be a boolean when provided",
        ),
        (r#""prefix":5"#, "options.prefix must be a string when provided"),
        (r#""prefix":"/a/../b""#, "options.prefix must not have"),
        (r#""prefix":"a//b""#, "options.prefix must not have"),
        (r#""prefix":"a\nb""#, "options.prefix must be"),
        (
            r#""provider":1"#,
            "options.provider must be a string when provided",
        ),
        (r#""s3fsOptions":"ro""#, "options.s3fsOptions must be an array"),
        (r#""credentials":"x""#, "options.credentials must include string"),
        (
            r#""credentials":{"accessKeyId":"i"}"#,
            "options.credentials must include string",
        ),
        (
            r#""credentials":{"accessKeyId":"i","secretAccessKey":5}"#,
            "options.credentials must include",
        ),
        (
            r#""credentials":{"accessKeyId":"","secretAccessKey":"s"}"#,
            "credentials.accessKeyId must be",
        ),
        (
            r#""credentials":{"accessKeyId":"i","secretAccessKey":"a\nb"}"#,
            "credentials.secretAccessKey",
        ),
    ] {
        let body = format!(r#"{{"bucket":"b","mountPath":"/m","options":{{{option}}}}}"#);
        let message = parse(&body).unwrap_err();
        assert!(message.contains(word), "{body}: {message}");
    }
    let whole = parse(r#"{"bucket":"b","mountPath":"/m","options":{"prefix":"//"}}"#).unwrap();
    assert_eq!(whole.prefix, None);
}
