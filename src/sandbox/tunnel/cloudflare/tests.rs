use serde_json::json;

use super::*;

#[test]
fn answers_are_read_and_errors_quoted() {
    let good = r#"{"success":true,"errors":[],"result":{"id":"i"}}"#;
    assert_eq!(read(200, good), Ok(json!({ "id": "i" })));
    assert_eq!(read(200, r#"{"success":true}"#), Ok(Value::Null));
    let bad = r#"{"success":false,"errors":[{"code":1013,"message":"taken"},{"code":7,"message":"no"}]}"#;
    assert_eq!(read(409, bad), Err("taken (1013); no (7)".into()));
    assert_eq!(read(200, bad), Err("taken (1013); no (7)".into()));
    assert_eq!(read(502, "<html>"), Err("it answered with 502".into()));
    let message = read(
        403,
        r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}"#,
    );
    let message = message.unwrap_err();
    assert!(
        message.starts_with("Authentication error (10000). ") && message.contains("DNS: Edit"),
        "{message}"
    );
}

#[test]
fn a_token_that_sees_several_zones_needs_a_zone_id() {
    let zone = json!({ "id": "z" });
    assert_eq!(only_one(&zone), Ok(&zone));
    assert_eq!(only_one(&json!([zone])), Ok(&zone));
    for (zones, word) in [(json!([]), "no zones"), (json!([{}, {}]), "several zones")] {
        let error = only_one(&zones).unwrap_err().body().error;
        assert!(
            error.contains(word) && error.contains("CLOUDFLARE_ZONE_ID"),
            "{error}"
        );
    }
}

#[test]
fn only_records_of_this_sandbox_belong_to_it() {
    let id = SandboxId::parse("abc").unwrap();
    let entry = |kind: &str, content: &str, comment: Option<&str>| json!({ "type": kind, "content": content, "comment": comment });
    let target = "t.cfargotunnel.com";
    for (entry, belongs) in [
        (entry("CNAME", "t.cfargotunnel.com", None), true),
        (entry("CNAME", "old.cfargotunnel.com", Some("sandbox-abc")), true),
        (
            entry("CNAME", "old.cfargotunnel.com", Some("sandbox-other")),
            false,
        ),
        (entry("CNAME", "old.cfargotunnel.com", None), false),
        (entry("CNAME", "www.example.com", Some("sandbox-abc")), false),
        (entry("A", "192.0.2.1", Some("sandbox-abc")), false),
    ] {
        assert_eq!(belongs_to(&entry, target, &id), belongs, "{entry}");
    }
}

#[test]
fn without_a_token_the_error_names_what_to_set() {
    let config = TunnelConfig::from_vars(|_| None);
    let error = Cloudflare::new(&config).unwrap_err();
    let body = error.body();
    assert_eq!(error.parts().0, 502);
    for name in [
        "CLOUDFLARE_API_TOKEN",
        "CLOUDFLARE_ACCOUNT_ID",
        "CLOUDFLARE_ZONE_ID",
    ] {
        assert!(body.error.contains(name), "{body:?}");
    }
}
