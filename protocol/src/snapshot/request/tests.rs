use super::*;

fn snapshot(body: &str) -> Result<SnapshotRequest, Invalid> {
    SnapshotRequest::parse(body.as_bytes(), &FileRoots::default())
}

#[test]
fn a_snapshot_has_defaults() {
    let whole = snapshot("").unwrap();
    assert_eq!((whole.dir.as_str(), whole.ttl), (WORKSPACE, None));
    let part = snapshot(r#"{"name":"a","dir":"/workspace/b","excludes":["./c","d/"],"ttl":"2h","more":1}"#);
    let part = part.unwrap();
    assert_eq!(part.dir.as_str(), "/workspace/b");
    assert_eq!(part.excludes, ["c", "d/"]);
    assert_eq!(part.ttl, Some(Duration::from_secs(7200)));
}

#[test]
fn bad_values_are_named() {
    for (body, status, name) in [
        (r#"{"dir":"/etc"}"#, 403, "dir"),
        (r#"{"dir":5}"#, 400, "dir"),
        (r#"{"name":""}"#, 400, "name"),
        (r#"{"ttl":"2 days"}"#, 400, "ttl"),
        (r#"{"excludes":"a"}"#, 400, "excludes"),
        (r#"{"excludes":["../a"]}"#, 400, "exclude"),
        ("[]", 400, "object"),
    ] {
        let e = snapshot(body).unwrap_err();
        assert_eq!(e.status(), status, "{body}");
        assert!(e.message().contains(name), "{body}: {}", e.message());
    }
    let restore = |body: &str| RestoreRequest::parse(body.as_bytes(), &FileRoots::default());
    for body in ["{}", r#"{"snapshot":"x"}"#, "5"] {
        assert_eq!(restore(body).unwrap_err().status(), 400);
    }
    let id = "a".repeat(35);
    let dir = |dir: &str| restore(&format!(r#"{{"snapshot":"{id}","dir":"{dir}"}}"#));
    assert_eq!(dir("/workspace/b").unwrap().dir.unwrap().as_str(), "/workspace/b");
    assert_eq!(dir("/etc").unwrap_err().status(), 403);
    for body in [r#"{"count":0}"#, r#"{"count":101}"#, r#"{"count":"1"}"#] {
        assert_eq!(ForkRequest::parse(body.as_bytes()).unwrap_err().status(), 400);
    }
    assert_eq!(ForkRequest::parse(b"").unwrap().count, 1);
}

#[test]
fn auto_save_is_checked() {
    let parse = |json: &str| AutoSave::from_value(&serde_json::from_str(json).unwrap());
    let hourly = parse(r#"{"on":"sleep","interval":"1h"}"#).unwrap();
    assert_eq!(hourly.interval(), Some(Duration::from_secs(3600)));
    assert_eq!(parse(r#"{"on":"sleep"}"#).unwrap().interval(), None);
    for json in [
        "true",
        "{}",
        r#"{"on":"exit"}"#,
        r#"{"on":"sleep","interval":"1s"}"#,
        r#"{"on":"sleep","excludes":[1]}"#,
    ] {
        assert_eq!(parse(json).unwrap_err().status(), 400, "{json}");
    }
}

#[test]
fn the_query_of_a_list() {
    let query = ListQuery::parse("").unwrap();
    assert_eq!((query.sandbox, query.limit, query.cursor), (None, 100, None));
    assert_eq!(ListQuery::parse("limit=5&sandbox=abc").unwrap().limit, 5);
    for text in ["limit=0", "cursor=x", "sandbox=X"] {
        assert_eq!(ListQuery::parse(text).unwrap_err().status(), 400, "{text}");
    }
}
