//! The body of an exec: an accepted one can be executed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbox_protocol::ExecRequest;
use sandbox_protocol::json::without_byte_order_mark;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let request = match ExecRequest::parse(body) {
        Ok(request) => request,
        Err(error) => {
            let is_outside = error.message() == "cwd must resolve to a location within /workspace";
            assert_eq!(error.status(), if is_outside { 403 } else { 400 });
            return;
        }
    };
    // The kernel's own rules.
    assert!(!request.argv.is_empty());
    assert!(request.argv.iter().all(|arg| !arg.contains('\0')));
    for (name, value) in &request.env {
        assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
    }
    if let Some(cwd) = &request.cwd {
        assert!(cwd.as_str() == "/workspace" || cwd.as_str().starts_with("/workspace/"));
    }
    // And the client's own fields.
    let fields: Value = serde_json::from_slice(without_byte_order_mark(body)).unwrap();
    assert_eq!(fields["argv"], Value::from(request.argv.clone()));
    if let Some(text) = fields["stdin"].as_str() {
        assert_eq!(request.stdin.as_deref(), Some(text.as_bytes()));
    }
    assert_eq!(fields["stdin"].is_null(), request.stdin.is_none());
    assert_eq!(fields["timeout_ms"].is_null(), request.timeout_ms.is_none());
    assert_eq!(fields["cwd"].is_null(), request.cwd.is_none());
    assert_eq!(
        fields["env"].as_object().map_or(0, |env| env.len()),
        request.env.len()
    );
    assert_eq!(fields["detached"].as_bool().unwrap_or_default(), request.detached);
});
