use super::*;

fn parse(body: &str) -> Result<ExecRequest, (u16, String)> {
    ExecRequest::parse(body.as_bytes()).map_err(|e| (e.status(), e.message().to_owned()))
}

#[test]
fn the_smallest_body() {
    let request = parse(r#"{"argv":["true"],"unknown":[1],"cwd":null}"#).unwrap();
    assert_eq!(request.argv, ["true"]);
    assert_eq!(
        (request.cwd, request.timeout_ms, request.detached),
        (None, None, false)
    );
    assert_eq!((request.env.len(), request.stdin), (0, None));
    assert_eq!((request.id, request.linger_ms, request.replace), (None, 0, false));
    assert_eq!(
        (request.stdin_open, request.keep_awake, request.log_bytes),
        (false, true, DEFAULT_LOG_BYTES)
    );
}

#[test]
fn a_command_line_is_for_bash() {
    let request = parse(
        r#"{"command":"echo $HOME","id":"a.b-c_1","linger_ms":5,"replace":true,
        "stdin_open":true,"log_bytes":0,"keep_awake":false,"restart":true}"#,
    );
    let request = request.unwrap();
    assert_eq!(request.argv, ["bash", "-c", "echo $HOME"]);
    assert!(request.is_command_line && request.replace && request.stdin_open && !request.keep_awake);
    assert_eq!(request.id.unwrap().as_str(), "a.b-c_1");
    assert_eq!(
        (request.linger_ms, request.log_bytes, request.restart),
        (5, 0, true)
    );
}

#[test]
fn output_that_is_not_text_is_base64() {
    let json = |bytes: &[u8]| serde_json::to_string(&OutputText::new(bytes.to_vec())).unwrap();
    assert_eq!(json("é\n".as_bytes()), "\"é\\n\"");
    assert_eq!(json(b"\xff"), r#"{"base64":"/w=="}"#);
}

#[test]
fn every_field() {
    let request = parse(
        r#"{"argv":["a","b c\n\"é"],"timeout_ms":1500.0,"cwd":"src","env":{"A":"b=c","B":""},
            "stdin":{"base64":"AP8="},"detached":true}"#,
    );
    let request = request.unwrap();
    assert_eq!(request.argv, ["a", "b c\n\"é"]);
    assert_eq!(request.timeout_ms.unwrap().get(), 1500);
    assert_eq!(request.cwd.unwrap().as_str(), "/workspace/src");
    assert_eq!(
        (request.env["A"].as_str(), request.env["B"].as_str()),
        ("b=c", "")
    );
    assert_eq!(
        (request.stdin.as_deref(), request.detached),
        (Some(&[0, 0xff][..]), true)
    );
    let text = parse(r#"{"argv":["a"],"stdin":"text"}"#).unwrap().stdin;
    assert_eq!(text.as_deref(), Some(&b"text"[..]));
}

#[test]
fn each_error_names_its_field() {
    for (body, status, word) in [
        ("", 400, "Invalid JSON body"),
        ("{", 400, "Invalid JSON body"),
        ("[]", 400, "Invalid JSON body"),
        ("{}", 400, "argv must be a non-empty array"),
        (r#"{"argv":[]}"#, 400, "argv must be a non-empty array"),
        (r#"{"argv":"ls"}"#, 400, "argv must be a non-empty array"),
        (r#"{"argv":["a",1]}"#, 400, "argv[1]"),
        (r#"{"argv":["a\u0000"]}"#, 400, "argv[0]"),
        (r#"{"argv":["a"],"timeout_ms":0}"#, 400, "timeout_ms"),
        (r#"{"argv":["a"],"timeout_ms":-5}"#, 400, "timeout_ms"),
        (r#"{"argv":["a"],"timeout_ms":1.5}"#, 400, "timeout_ms"),
        (r#"{"argv":["a"],"timeout_ms":"5"}"#, 400, "timeout_ms"),
        (r#"{"argv":["a"],"timeout_ms":1e300}"#, 400, "timeout_ms"),
        (r#"{"argv":["a"],"cwd":5}"#, 400, "cwd"),
        (r#"{"argv":["a"],"cwd":"/etc"}"#, 403, "within /workspace"),
        (r#"{"argv":["a"],"cwd":"../etc"}"#, 403, "within /workspace"),
        (r#"{"argv":["a"],"env":["A=b"]}"#, 400, "env"),
        (r#"{"argv":["a"],"env":{"A":1}}"#, 400, "env.A"),
        (r#"{"argv":["a"],"env":{"A=":"b"}}"#, 400, "env"),
        (r#"{"argv":["a"],"env":{"A":"\u0000"}}"#, 400, "env"),
        (r#"{"argv":["a"],"stdin":5}"#, 400, "stdin"),
        (r#"{"argv":["a"],"stdin":{"base64":"%"}}"#, 400, "stdin.base64"),
        (r#"{"argv":["a"],"stdin":{}}"#, 400, "stdin.base64"),
        (r#"{"argv":["a"],"stdin":{"base64":"QQ"}}"#, 400, "stdin.base64"),
        (
            r#"{"argv":["a"],"stdin":{"base64":"QQ==QQ=="}}"#,
            400,
            "stdin.base64",
        ),
        (
            r#"{"argv":["a"],"stdin":{"base64":"QQ==\""}}"#,
            400,
            "stdin.base64",
        ),
        (
            r#"{"argv":["a"],"stdin":{"base64":"QUFB\n"}}"#,
            400,
            "stdin.base64",
        ),
        (
            r#"{"argv":["a"],"stdin":{"base64":"\u0151=="}}"#,
            400,
            "stdin.base64",
        ),
        (r#"{"argv":["a"],"stdin":"x"} x"#, 400, "Invalid JSON body"),
        (r#"{"argv":["\\\u0000"]}"#, 400, "argv[0]"),
        (r#"{"argv":["a"],"detached":"yes"}"#, 400, "detached"),
        (r#"{"argv":["a"],"command":"b"}"#, 400, "argv and command"),
        (r#"{"command":["b"]}"#, 400, "command must be"),
        (r#"{"command":"\u0000"}"#, 400, "command must not"),
        (r#"{"argv":["a"],"id":5}"#, 400, "id must be"),
        (r#"{"argv":["a"],"id":"a/b"}"#, 400, "process ID"),
        (r#"{"argv":["a"],"linger_ms":-1}"#, 400, "linger_ms"),
        (r#"{"argv":["a"],"log_bytes":16777217}"#, 400, "log_bytes"),
        (r#"{"argv":["a"],"keep_awake":1}"#, 400, "keep_awake"),
        (r#"{"argv":["a"],"restart":"yes"}"#, 400, "restart"),
    ] {
        let (got, message) = parse(body).unwrap_err();
        assert_eq!(got, status, "{body}: {message}");
        assert!(message.contains(word), "{body}: {message}");
    }
}
