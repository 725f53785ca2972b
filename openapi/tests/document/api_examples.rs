//! docs/api.md has an example of each operation, and docs/buckets.md bodies that the parser takes.

use std::collections::BTreeMap;

use sandbar_openapi::{examples, operations};
use sandbox_protocol::MountRequest;

#[test]
fn every_operation_has_its_example_and_every_example_its_operation() {
    let told: BTreeMap<String, String> = examples()
        .into_iter()
        .map(|example| (example.operation, example.call))
        .collect();
    let there: BTreeMap<String, String> = operations()
        .iter()
        .map(|operation| {
            (
                operation.id.to_owned(),
                format!("{} {}", operation.method.as_str(), operation.path),
            )
        })
        .collect();
    assert_eq!(told, there);
}

#[test]
fn the_bodies_of_mounts_in_the_documentation_parse() {
    let page = include_str!("../../../docs/buckets.md");
    let bodies = page.split("```json\n").skip(1);
    let bodies: Vec<&str> = bodies.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(bodies.len(), 3);
    for body in bodies {
        assert!(MountRequest::parse(body.as_bytes()).is_ok(), "{body}");
    }
}
