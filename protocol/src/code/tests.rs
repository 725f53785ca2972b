use serde_json::{Value, json};

use super::*;

fn run(body: &Value) -> Result<RunCodeRequest, (u16, String)> {
    RunCodeRequest::parse(body.to_string().as_bytes()).map_err(|e| (e.status(), e.message().to_owned()))
}

fn context(id: &str) -> Target {
    Target::Context(ContextId::parse(id).unwrap())
}

#[test]
fn the_smallest_bodies() {
    let request = run(&json!({ "code": "1+1", "unknown": [1], "cwd": null })).unwrap();
    assert_eq!(
        (request.code.as_str(), request.timeout_ms.get()),
        ("1+1", DEFAULT_TIMEOUT_MS)
    );
    assert_eq!(request.target, Target::Language("python".to_owned()));
    assert!(!request.detached && !request.image_urls && request.linger_ms == 0);
    let request = ContextRequest::parse(b"").unwrap();
    assert_eq!((request.language.as_str(), request.id), ("python", None));
}

#[test]
fn a_context_is_an_id_or_the_answer_of_its_creation() {
    for body in [
        json!({ "code": "", "context": "c.1" }),
        json!({ "code": "", "context_id": "c.1", "language": "r" }),
        json!({ "code": "", "context": "c.1", "context_id": "other" }),
        json!({ "code": "", "context": { "id": "c.1", "language": "python" } }),
    ] {
        assert_eq!(run(&body).unwrap().target, context("c.1"), "{body}");
    }
}

#[test]
fn every_field() {
    let request = run(&json!({
        "code": "é", "language": "c++17", "cwd": "src", "env": { "A": "b" }, "timeout_ms": 5.0,
        "detached": true, "linger_ms": 7, "id": "p", "image_urls": true,
    }));
    let request = request.unwrap();
    assert_eq!(request.target, Target::Language("c++17".to_owned()));
    assert_eq!(request.cwd.unwrap().as_str(), "/workspace/src");
    assert_eq!((request.env["A"].as_str(), request.timeout_ms.get()), ("b", 5));
    assert!(request.detached && request.image_urls && request.linger_ms == 7);
    assert_eq!(request.id.unwrap().as_str(), "p");
    let request = ContextRequest::parse(br#"{"language":"R","cwd":"a","env":{"B":"c"},"id":"x"}"#).unwrap();
    assert_eq!(
        (request.language.as_str(), request.id.unwrap().as_str()),
        ("R", "x")
    );
    assert_eq!(
        (request.cwd.unwrap().as_str(), request.env["B"].as_str()),
        ("/workspace/a", "c")
    );
}

#[test]
fn each_error_names_its_field() {
    for (body, status, word) in [
        (json!({}), 400, "code must be a string"),
        (json!({ "code": 1 }), 400, "code"),
        (json!({ "code": "", "context": 1 }), 400, "context"),
        (json!({ "code": "", "context": {} }), 400, "context"),
        (json!({ "code": "", "context": "a/b" }), 400, "context ID"),
        (json!({ "code": "", "language": "" }), 400, "language"),
        (json!({ "code": "", "language": "a/b" }), 400, "language"),
        (json!({ "code": "", "cwd": "/etc" }), 403, "within /workspace"),
        (json!({ "code": "", "env": [] }), 400, "env"),
        (json!({ "code": "", "timeout_ms": 0 }), 400, "timeout_ms"),
        (json!({ "code": "", "detached": 1 }), 400, "detached"),
        (json!({ "code": "", "id": 1 }), 400, "id must be"),
        (json!({ "code": "", "image_urls": "no" }), 400, "image_urls"),
    ] {
        let (got, message) = run(&body).unwrap_err();
        assert_eq!(got, status, "{body}: {message}");
        assert!(message.contains(word), "{body}: {message}");
    }
}

#[test]
fn a_bundle_has_each_form_under_both_names() {
    let data = json!({ "text/plain": "2", "image/png": "AA==", "text/x-other": "o", "isMain": true });
    let mut bundle = Bundle::new(data.as_object().unwrap().clone(), serde_json::Map::new());
    bundle.is_main = true;
    assert_eq!(bundle.text(), Some("2"));
    let wire = json!({
        "isMain": true, "text/plain": "2", "text": "2", "image/png": "AA==", "png": "AA==", "text/x-other": "o",
    });
    assert_eq!(serde_json::to_value(&bundle).unwrap(), wire);
    assert_eq!(serde_json::from_value::<Bundle>(wire).unwrap(), bundle);
    bundle.remove("image/png");
    assert_eq!(bundle.data.len(), 3);
}

#[test]
fn texts_of_results_are_on_lines_of_their_own() {
    let mut output = b"a".to_vec();
    output_text(&mut output, "b");
    output_text(&mut output, "c\n");
    assert_eq!(output, b"a\nb\nc\n");
}
