use super::*;

fn patched(mut settings: Settings, body: &str) -> Result<Settings, Invalid> {
    SettingsPatch::parse(body.as_bytes())?.apply(&mut settings)?;
    Ok(settings)
}

fn settings(body: &str) -> Settings {
    patched(Settings::default(), body).unwrap()
}

#[test]
fn a_body_without_our_fields_counts_as_none() {
    for body in [
        "",
        "{}",
        r#"{"exposedPorts":[1],"timeoutMs":5,"createTimeoutMs":5,"mounts":{}}"#,
        r#"{"name":null,"env":null}"#,
    ] {
        assert_eq!(CreateRequest::parse(body.as_bytes()).unwrap(), None, "{body}");
    }
    let request = CreateRequest::parse(br#"{"id":"abc","timeoutMs":5}"#)
        .unwrap()
        .unwrap();
    assert_eq!(request.id.unwrap().as_str(), "abc");
    assert!(request.settings.is_empty());
    let request = CreateRequest::parse(br#"{"name":"user-123"}"#).unwrap().unwrap();
    assert_eq!(request.settings.name(), Some("user-123"));
}

#[test]
fn every_field_is_set() {
    let all = settings(
        r#"{"name":"a","env":{"A":"1"},"labels":{"team":"x"},"sleepAfter":"never","keepAlive":true,
            "maxLifetime":"24h","internet":false,"image":"base","instance":"lite",
            "snapshot":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","autoSave":{"on":"sleep","excludes":["target/"]}}"#,
    );
    let expected = Settings {
        name: Some("a".into()),
        env: [("A".to_owned(), "1".to_owned())].into(),
        labels: [("team".to_owned(), "x".to_owned())].into(),
        sleep_after: Some("never".into()),
        keep_alive: true,
        max_lifetime: Some("24h".into()),
        offline: true,
        image: Some("base".into()),
        instance: Some(Instance::Named("lite".into())),
        snapshot: Some(SnapshotId::parse(&"a".repeat(35)).unwrap()),
        auto_save: Some(AutoSave {
            on: "sleep".into(),
            excludes: vec!["target/".into()],
            interval: None,
        }),
    };
    assert_eq!(all, expected);
    let none = r#"{"name":null,"env":null,"labels":null,"sleepAfter":null,"keepAlive":null,"maxLifetime":null,
                   "internet":null,"image":null,"instance":null,"snapshot":null,"autoSave":null}"#;
    assert_eq!(patched(all, none).unwrap(), Settings::default());
}

#[test]
fn variables_and_labels_are_merged_by_their_names() {
    let before = settings(r#"{"env":{"A":"1","B":"2"},"labels":{"x":"1","y":"2"}}"#);
    let after = patched(before, r#"{"env":{"A":null,"C":"3"},"labels":{"x":"4"}}"#).unwrap();
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    assert_eq!(after.env, pairs(&[("B", "2"), ("C", "3")]));
    assert_eq!(after.labels, pairs(&[("x", "4"), ("y", "2")]));
}

#[test]
fn wrong_fields_are_named() {
    for (body, message) in [
        (r#"{"id":5}"#, "id must be"),
        (r#"{"id":"A"}"#, "Invalid sandbox ID"),
        (r#"{"name":""}"#, "name must have"),
        (r#"{"name":"a\nb"}"#, "name must have"),
        (r#"{"name":5}"#, "name must be a string"),
        (r#"{"env":[]}"#, "env must be an object"),
        (r#"{"env":{"A=":"1"}}"#, "env must not"),
        (r#"{"env":{"A=":null}}"#, "env must not"),
        (r#"{"labels":{"a b":null}}"#, "labels must be at most"),
        (r#"{"env":{"A":1}}"#, "env.A must be a string"),
        (r#"{"labels":5}"#, "labels must be an object"),
        (r#"{"labels":{"a b":"1"}}"#, "labels must be at most"),
        (r#"{"labels":{"a":"1\n"}}"#, "labels must be at most"),
        (r#"{"labels":{"a":true}}"#, "labels.a must be a string"),
        (r#"{"sleepAfter":"soon"}"#, "sleepAfter must be"),
        (r#"{"sleepAfter":"25h"}"#, "sleepAfter must be"),
        (r#"{"keepAlive":"yes"}"#, "keepAlive must be a boolean"),
        (r#"{"maxLifetime":"never"}"#, "maxLifetime must be"),
        (r#"{"maxLifetime":"8785h"}"#, "maxLifetime must be"),
        (r#"{"internet":1}"#, "internet must be a boolean"),
        (r#"{"image":"../x"}"#, "image must be"),
        (r#"{"instance":"huge"}"#, "instance must be"),
        ("[]", "Invalid JSON body"),
        ("{", "Invalid JSON body"),
    ] {
        let error = CreateRequest::parse(body.as_bytes()).unwrap_err();
        assert!(error.message().starts_with(message), "{body}: {error}");
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn limits_are_those_of_the_result() {
    let large = format!(r#"{{"env":{{"A":"{}"}}}}"#, "x".repeat(MAX_ENV - 1));
    let full = settings(&large);
    let error = patched(full.clone(), r#"{"env":{"B":""}}"#).unwrap_err();
    assert!(error.message().starts_with("env must have at most 65536 bytes"));
    patched(full, r#"{"env":{"A":"","B":"2"}}"#).unwrap();
    let labels = |from: usize, to: usize| {
        let labels: Vec<_> = (from..to).map(|i| format!(r#""{i}":"""#)).collect();
        format!(r#"{{"labels":{{{}}}}}"#, labels.join(","))
    };
    let full = settings(&labels(0, MAX_LABELS));
    assert!(patched(full, &labels(MAX_LABELS, MAX_LABELS + 1)).is_err());
}
