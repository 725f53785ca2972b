//! The body of an exec: what is taken can be executed, and its JSON form reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbox_protocol::ExecRequest;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let request = match ExecRequest::parse(body) {
        Ok(request) => request,
        Err(refusal) => {
            let is_outside = refusal.message() == "cwd must resolve to a location within /workspace";
            assert_eq!(refusal.status(), if is_outside { 403 } else { 400 });
            return;
        }
    };
    // What the kernel takes.
    assert!(!request.argv.is_empty());
    assert!(request.argv.iter().all(|arg| !arg.contains('\0')));
    for (name, value) in &request.env {
        assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
    }
    if let Some(cwd) = &request.cwd {
        assert!(cwd.as_str() == "/workspace" || cwd.as_str().starts_with("/workspace/"));
    }
    // And what the client said.
    let said: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(said["argv"], Value::from(request.argv.clone()));
    if let Some(text) = said["stdin"].as_str() {
        assert_eq!(request.stdin.as_deref(), Some(text.as_bytes()));
    }
    assert_eq!(said["stdin"].is_null(), request.stdin.is_none());
    assert_eq!(said["timeout_ms"].is_null(), request.timeout_ms.is_none());
    assert_eq!(said["cwd"].is_null(), request.cwd.is_none());
    assert_eq!(
        said["env"].as_object().map_or(0, |env| env.len()),
        request.env.len()
    );
    assert_eq!(said["detached"].as_bool().unwrap_or_default(), request.detached);

    let json = request.to_json();
    let again = ExecRequest::parse(json.as_bytes()).unwrap();
    assert_eq!(again, request);
    assert_eq!(again.to_json(), json);
});
