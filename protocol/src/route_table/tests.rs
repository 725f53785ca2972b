use std::collections::BTreeSet;

use super::*;

fn first(path: &str) -> Option<(&'static str, Vec<&str>)> {
    let found = find("GET", path)?;
    let values = found.parameters.iter().map(|(_, value)| *value);
    Some((found.pattern, values.collect()))
}

#[test]
fn every_route_is_found_by_a_path_of_its_pattern() {
    for route in ROUTES {
        let path: String = route.pattern.split(['{', '}']).collect();
        let found = find(route.method.as_str(), &path).unwrap();
        assert!(found.routes().any(|other| other == route), "{path}");
        for (name, value) in found.parameters {
            assert_eq!(name, value);
        }
    }
}

#[test]
fn no_two_routes_have_an_id_or_a_method_of_a_pattern_in_common() {
    let ids: BTreeSet<_> = ROUTES.iter().map(|route| route.operation_id).collect();
    let paths: BTreeSet<_> = ROUTES.iter().map(|route| (route.pattern, route.method)).collect();
    assert_eq!((ids.len(), paths.len()), (ROUTES.len(), ROUTES.len()));
}

#[test]
fn what_has_a_sandbox_in_its_path_needs_it() {
    for route in ROUTES {
        let has_id = route.pattern.starts_with("/v1/sandbox/{id}");
        assert_eq!(route.needs != Needs::Nothing, has_id, "{}", route.operation_id);
    }
}

#[test]
fn the_last_parameter_takes_the_rest_and_an_id_one_segment() {
    for (path, expected) in [
        (
            "/v1/sandbox/a/file/b/c",
            Some(("/v1/sandbox/{id}/file/{path}", vec!["a", "b/c"])),
        ),
        (
            "/v1/sandbox/a/file",
            Some(("/v1/sandbox/{id}/file/{path}", vec!["a"])),
        ),
        (
            "/v1/sandbox/a/session/",
            Some(("/v1/sandbox/{id}/session", vec!["a"])),
        ),
        (
            "/v1/sandbox/a/session/b/c",
            Some(("/v1/sandbox/{id}/session/{sid}", vec!["a", "b/c"])),
        ),
        (
            "/v1/sandbox/a/tunnel/",
            Some(("/v1/sandbox/{id}/tunnel/{port}", vec!["a", ""])),
        ),
        (
            "/v1/sandbox/a/process",
            Some(("/v1/sandbox/{id}/process", vec!["a"])),
        ),
        (
            "/v1/sandbox/a/process/log",
            Some(("/v1/sandbox/{id}/process/{pid}", vec!["a", "log"])),
        ),
        (
            "/v1/sandbox/a/process/log/log",
            Some(("/v1/sandbox/{id}/process/{pid}/log", vec!["a", "log"])),
        ),
        // Not the list: a `DELETE` would end all processes.
        (
            "/v1/sandbox/a/process/",
            Some(("/v1/sandbox/{id}/process/{pid}", vec!["a", ""])),
        ),
        ("/v1/sandbox/a/process/b/c", None),
        ("/v1/sandbox/a/process/b/c/log", None),
        ("/v1/sandbox/a/process/b/log/", None),
        ("/v1/sandbox/a", Some(("/v1/sandbox/{id}", vec!["a"]))),
        ("/v1/sandbox/", Some(("/v1/sandbox", vec![]))),
        // A client turns "session/.." into this, which must not destroy a sandbox.
        ("/v1/sandbox/a/", None),
        ("/v1/sandbox/a/tunnel", None),
        ("/v1/sandbox/a/exec/", None),
        (
            "/v1/sandbox/a/port/80/",
            Some(("/v1/sandbox/{id}/port/{port}/{path}", vec!["a", "80", ""])),
        ),
        (
            "/v1/sandbox/a/port/80//../b",
            Some(("/v1/sandbox/{id}/port/{port}/{path}", vec!["a", "80", "/../b"])),
        ),
        // A page of the server: only `POST` is the wait.
        (
            "/v1/sandbox/a/port/80/wait",
            Some(("/v1/sandbox/{id}/port/{port}/{path}", vec!["a", "80", "wait"])),
        ),
        (
            "/v1/sandbox/a/port/80",
            Some(("/v1/sandbox/{id}/port/{port}", vec!["a", "80"])),
        ),
        (
            "/v1/sandbox/a/tcp/80/",
            Some(("/v1/sandbox/{id}/tcp/{port}", vec!["a", "80/"])),
        ),
        ("/v1", None),
        ("/", None),
        ("", None),
    ] {
        assert_eq!(first(path), expected, "{path}");
    }
}
