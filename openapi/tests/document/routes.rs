//! The document and the table of routes: neither has an operation that the other lacks.

use std::collections::BTreeSet;

use sandbar_openapi::operations;
use sandbox_protocol::route_table::{Access, Operation, ROUTES, Route};

/// Whether a route is for clients: the explorer's files are part of its page, and S3 is for the
/// s3fs of a sandbox.
fn is_for_clients(route: &&Route) -> bool {
    route.access != Access::MountToken && route.operation != Operation::ExplorerFile
}

#[test]
fn every_route_is_described_as_it_is() {
    let described = operations();
    for route in ROUTES.iter().filter(is_for_clients) {
        let operation = described
            .iter()
            .find(|operation| operation.id == route.operation_id);
        let operation = operation.unwrap_or_else(|| panic!("{} is not described", route.operation_id));
        assert_eq!(
            (operation.method.as_str(), operation.path, operation.guarded),
            (route.method.as_str(), route.pattern, route.access.is_guarded()),
            "{}",
            operation.id
        );
    }
    assert_eq!(described.len(), ROUTES.iter().filter(is_for_clients).count());
}

#[test]
fn every_parameter_of_a_path_is_described() {
    for operation in operations() {
        let named: BTreeSet<&str> = operation.path.split(['{', '}']).skip(1).step_by(2).collect();
        let described = operation
            .parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path");
        let described: BTreeSet<&str> = described
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(named, described, "{}", operation.id);
    }
}
