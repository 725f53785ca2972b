use super::*;

fn parse(body: &Value) -> Result<CheckoutRequest, (u16, String)> {
    CheckoutRequest::parse(body.to_string().as_bytes()).map_err(|e| (e.status(), e.message().to_owned()))
}

fn of_url(url: &str) -> Result<CheckoutRequest, String> {
    parse(&json!({ "repoUrl": url })).map_err(|(_, message)| message)
}

#[test]
fn the_smallest_body() {
    let request = of_url("https://github.com/octocat/hello.git").unwrap();
    assert_eq!(request.repo_url.as_str(), "https://github.com/octocat/hello.git");
    assert_eq!(request.target_dir.as_str(), "/workspace/hello");
    let rest = (request.reference, request.branch, request.depth, request.filter);
    assert_eq!(rest, (None, None, None, None));
    assert_eq!(
        (request.submodules, request.timeout_ms, request.auth),
        (false, None, None)
    );
}

#[test]
fn every_field_is_read_back_without_the_credentials() {
    let body = json!({
        "repoUrl": "https://host:8080/a", "ref": "v1", "depth": 1, "targetDir": "src/a b", "submodules": true,
        "filter": "blob:none", "timeout_ms": 5, "auth": { "token": "t0ken", "username": "me" },
    });
    let request = parse(&body).unwrap();
    assert!(!format!("{request:?}").contains("t0ken"));
    let json = request.to_json_without_auth();
    assert!(!json.contains("t0ken"), "{json}");
    let again = CheckoutRequest::parse(json.as_bytes()).unwrap();
    assert_eq!(request.auth.as_ref().unwrap().username, "me");
    assert_eq!(request.timeout_ms.unwrap().get(), 5);
    let bare = CheckoutRequest {
        auth: None,
        timeout_ms: None,
        ..request
    };
    assert_eq!(again, bare);
    let branch = parse(&json!({ "repoUrl": "git@host:a/b", "branch": "b" })).unwrap();
    let json = branch.to_json_without_auth();
    assert_eq!(CheckoutRequest::parse(json.as_bytes()).unwrap(), branch);
}

#[test]
fn credentials_leave_the_url() {
    for (url, bare, auth) in [
        ("https://u:p%40ss@Host/a", "https://Host/a", Some(("u", "p@ss"))),
        (
            "http://token@host:80/a/",
            "http://host:80/a/",
            Some(("token", "")),
        ),
        ("HTTPS://a:b:c@d@host/a", "https://host/a", Some(("a", "b:c@d"))),
        ("ssh://git@host:22/a.git", "ssh://git@host:22/a.git", None),
        ("ssh://host/~/a", "ssh://host/~/a", None),
        ("git@host:a/b.git", "git@host:a/b.git", None),
        ("https://[::1]:8/a", "https://[::1]:8/a", None),
    ] {
        let request = of_url(url).unwrap();
        assert_eq!(request.repo_url.as_str(), bare);
        let found = request.auth.as_ref();
        let found = found.map(|auth| (auth.username.as_str(), auth.token.as_str()));
        assert_eq!(found, auth, "{url}");
    }
}

#[test]
fn other_urls_are_refused_without_being_repeated() {
    for url in [
        "",
        "file:///a",
        "/a",
        "git://host/s3cret",
        "ext::sh -c s3cret",
        "ftp://u:s3cret@host/a",
        "https://u:s3cret@/a",
        "https://u:s3cret@host",
        "https://u:s3cret@host/",
        "https://u:s3cret@host/..",
        "https://u:s3cret@-host/a",
        "https://u:s3cret@host:0/a",
        "https://u:s3cret@host:x/a",
        "https://u:s3cret%0a@host/a",
        "https://u:s3cret@ho\nst/a",
        "https://u:s3cret@host/a b",
        "https://u:s3cret@host/é",
        "ssh://u:s3cret@host/a",
        "ssh://-oProxyCommand=s3cret@host/a",
        "ssh://-oProxyCommand=s3cret/a",
        "git@-oProxyCommand=s3cret:a",
        "git@host",
        "git@host:",
        "me@host:s3cret",
    ] {
        let message = of_url(url).unwrap_err();
        assert!(message.starts_with("repoUrl is not a URL"), "{url}: {message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[test]
fn the_directory_is_the_one_that_git_makes() {
    for (url, directory) in [
        ("https://host/a/b.git/", "/workspace/b"),
        ("https://host/b", "/workspace/b"),
        ("git@host:b.git", "/workspace/b"),
        ("git@host:a/.b", "/workspace/.b"),
    ] {
        assert_eq!(of_url(url).unwrap().target_dir.as_str(), directory);
    }
}

#[test]
fn urls_of_the_same_repository() {
    let (url, _) = RepoUrl::parse("https://host/a/b.git").unwrap();
    for same in ["https://HOST/a/b", "https://u:p@host/a/b.git/"] {
        assert!(url.is_same(same), "{same}");
    }
    for other in ["http://host/a/b", "https://host:81/a/b", "https://host/a", "/a/b"] {
        assert!(!url.is_same(other), "{other}");
    }
    assert!(url.is_at("https", "host") && !url.is_at("http", "host") && !url.is_at("https", "host.evil"));
}

#[test]
fn each_error_names_its_field() {
    let with = |name: &str, value: Value| {
        let mut body = json!({ "repoUrl": "https://host/a" });
        body[name] = value;
        parse(&body).unwrap_err()
    };
    for (name, value, text) in [
        ("repoUrl", json!(1), "repoUrl must be a string"),
        ("ref", json!(""), "ref must be a name"),
        ("ref", json!("a b"), "ref must be a name"),
        ("ref", json!("-a"), "ref is not a name"),
        ("ref", json!("a..b"), "ref is not a name"),
        ("ref", json!("a.lock"), "ref is not a name"),
        ("ref", json!("a/.b"), "ref is not a name"),
        ("ref", json!("a//b"), "ref is not a name"),
        ("branch", json!("@"), "branch is not a name"),
        ("branch", json!(["a"]), "branch must be a string"),
        ("depth", json!(0), "depth must be a whole number"),
        ("depth", json!(1.5), "depth must be a whole number"),
        ("depth", json!(0x7fff_ffff), "depth must be a whole number"),
        ("submodules", json!("yes"), "submodules must be a boolean"),
        ("filter", json!("tree:0"), "filter must be blob:none"),
        ("timeout_ms", json!(0), "timeout_ms must be"),
        ("targetDir", json!(""), "targetDir must not be empty"),
        ("auth", json!("t"), "auth must be an object"),
        ("auth", json!({}), "auth.token must be"),
        ("auth", json!({ "token": "a\nb" }), "auth.token must be"),
        (
            "auth",
            json!({ "token": "t", "username": "a:b" }),
            "auth.username must be",
        ),
    ] {
        let (status, message) = with(name, value);
        assert_eq!((status, message.starts_with(text)), (400, true), "{message}");
    }
    assert_eq!(with("targetDir", json!("/etc")).0, 403);
    let both = json!({ "repoUrl": "https://host/a", "ref": "a", "branch": "b" });
    assert_eq!(parse(&both).unwrap_err().1, "ref and branch cannot both be set");
    let ssh = json!({ "repoUrl": "git@host:a", "auth": { "token": "t" } });
    assert!(parse(&ssh).unwrap_err().1.starts_with("auth is for"));
    let twice = json!({ "repoUrl": "https://u:p@host/a", "auth": { "token": "t" } });
    assert!(parse(&twice).unwrap_err().1.starts_with("auth is set"));
}

#[test]
fn ids_of_commits_are_told_from_names() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    assert!(is_commit_id(id) && !is_commit_prefix(id));
    assert!(is_commit_prefix(&id[..7]) && !is_commit_prefix(&id[..3]) && !is_commit_prefix("main"));
}

#[test]
fn messages_lose_the_credentials_of_urls() {
    for (text, cleaned) in [
        (
            "fatal: 'https://u:p@h/a' not found",
            "fatal: 'https://h/a' not found",
        ),
        (
            "http://t@h:1/a and ssh://git@h/b@c",
            "http://h:1/a and ssh://h/b@c",
        ),
        ("https://u:p@x@h", "https://h"),
        ("nothing here @ all", "nothing here @ all"),
    ] {
        assert_eq!(without_credentials(text), cleaned);
    }
}

#[test]
fn wire_forms() {
    let checkout = Checkout {
        success: true,
        repo_url: "https://h/a".into(),
        branch: None,
        commit: "0".into(),
        target_dir: "/workspace/a".into(),
    };
    let json =
        |result: Result<Checkout, ErrorBody>| serde_json::to_string(&CheckoutResult::from(result)).unwrap();
    assert_eq!(
        json(Ok(checkout)),
        r#"{"success":true,"repoUrl":"https://h/a","commit":"0","targetDir":"/workspace/a"}"#
    );
    assert_eq!(
        json(Err(ErrorBody::new(crate::ErrorCode::GitError, "x"))),
        r#"{"success":false,"error":"x","code":"git_error"}"#
    );
}
