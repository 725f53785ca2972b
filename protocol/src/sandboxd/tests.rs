use super::*;
use crate::FileRoots;

#[test]
fn wire_form() {
    assert_eq!(
        serde_json::to_string(&Health { ok: true }).unwrap(),
        r#"{"ok":true}"#
    );
    assert_eq!(
        persist_url(&PersistOptions::from_query("excludes=a/b,c", &FileRoots::default()).unwrap()),
        "/persist?format=tar&excludes=a%2Fb%2Cc"
    );
    assert_eq!(
        file_url(
            FILE,
            &FilePath::parse("path", "a b", &FileRoots::default()).unwrap()
        ),
        "/file/workspace/a%20b"
    );
    let session = SessionId::parse("s.1").unwrap();
    assert_eq!(session_url(&session), "/session/s.1");
    assert_eq!(session_id("/session/s.1"), Some(session));
    assert_eq!((session_id("/session"), session_id("/exec")), (None, None));
    let process = ProcessId::parse("p.1").unwrap();
    assert_eq!(process_url(&process, "/log"), "/process/p.1/log");
    for path in ["/process/p.1", "/process/p.1/log"] {
        assert_eq!(process_id(path).as_ref(), Some(&process));
        assert!(is_of_processes("POST", path));
    }
    assert_eq!((process_id("/process"), process_id("/exec")), (None, None));
    assert!(is_of_processes("GET", "/process") && !is_of_processes("POST", "/process"));
    let context = ContextId::parse("c.1").unwrap();
    let path = context_url(&context, "/restart");
    assert_eq!(path, "/context/c.1/restart");
    assert_eq!(context_id(&path), Some(context));
    assert!(is_of_contexts("POST", &path) && is_of_contexts("GET", CONTEXT));
    assert!(is_of_contexts("GET", LANGUAGE) && !is_of_contexts("POST", CONTEXT));
    assert!(!is_of_contexts("POST", RUN_CODE));
    let port = Port::parse("8080").unwrap();
    assert_eq!(tunnel_url(port), "/tunnel/8080");
    assert_eq!(tunnel_port("/tunnel/8080"), Some(port));
    let port = ServerPort::parse("80").unwrap();
    for (path, is_server) in [
        (PORT_PATH.to_owned(), false),
        (port_wait_url(port), false),
        (proxy_url(port), true),
        (tcp_url(port), true),
    ] {
        assert_eq!(
            (is_of_ports(&path), is_of_server(&path)),
            (true, is_server),
            "{path}"
        );
    }
    assert!(!is_of_ports("/portable") && !is_of_ports("/exec"));
    assert_eq!((tunnel_port("/tunnel/28671"), tunnel_port("/exec")), (None, None));
}
