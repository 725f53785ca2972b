//! docs/api.md has a line for each operation.

use std::collections::BTreeMap;

use sandbar_openapi::{examples, operations};

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
