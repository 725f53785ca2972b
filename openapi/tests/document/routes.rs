//! The document and the Worker's routes: neither has an operation that the other lacks.

use std::collections::{BTreeMap, BTreeSet};

use sandbar::error::ApiError;
use sandbar::route::{Route, resolve};
use sandbar_openapi::operations;

use crate::fill_in;

/// Says of every route which operations lead to it. A route that is missing here does not compile.
macro_rules! operations_of_routes {
    ($($route:pat => [$($id:literal),*],)*) => {
        fn operations_of(route: &Route) -> &'static [&'static str] {
            match route {
                $($route => &[$($id),*],)*
            }
        }

        const OPERATIONS: &[&str] = &[$($($id,)*)*];
    };
}

operations_of_routes! {
    Route::Health => ["healthCheck", "headHealth"],
    Route::OpenApi => ["getOpenApiSchema"],
    Route::Explorer => ["openExplorer", "openExplorerShort"],
    Route::PoolStats => ["getPoolStats"],
    Route::PrimePool => ["primePool"],
    Route::ShutdownPrewarmed => ["shutdownPrewarmed"],
    Route::Create => ["createSandbox"],
    Route::Destroy(_) => ["deleteSandbox"],
    Route::Running(_) => ["isSandboxRunning"],
    Route::Exec(_) => ["execCommand"],
    Route::CreateSession(_) => ["createSession"],
    Route::DeleteSession(..) => ["deleteSession"],
    Route::Pty(_) => ["ptyTerminal"],
    Route::Persist(_) => ["persistWorkspace", "downloadWorkspace"],
    Route::Hydrate(_) => ["hydrateWorkspace"],
    Route::Mount(_) => ["mountBucket"],
    Route::Unmount(_) => ["unmountBucket"],
    Route::OpenTunnel(..) => ["createTunnel"],
    Route::CloseTunnel(..) => ["deleteTunnel"],
    Route::ReadFile(..) => ["readFile", "headFile"],
    Route::WriteFile(..) => ["writeFile"],
    // Clients have no business there.
    Route::S3(_) => [],
    // What the explorer's page loads is part of that page.
    Route::ExplorerFile(_) => ["openExplorer"],
}

#[test]
fn every_operation_leads_to_its_route_and_says_whether_it_takes_the_key() {
    for operation in operations() {
        let at = fill_in(operation.path);
        let resolved = resolve(operation.method.as_str(), &at).unwrap();
        let route = resolved.route.unwrap();
        assert!(
            operations_of(&route).contains(&operation.id),
            "{} leads to {route:?}",
            operation.id
        );
        assert_eq!(resolved.guarded, operation.guarded, "{}", operation.id);
        let has_id = operation.path.contains("{id}");
        assert_eq!(resolved.sandbox.is_some(), has_id, "{}", operation.id);
    }
}

#[test]
fn every_route_is_described() {
    let described: BTreeSet<&str> = operations().iter().map(|operation| operation.id).collect();
    let routed: BTreeSet<&str> = OPERATIONS.iter().copied().collect();
    assert_eq!(described, routed);
}

#[test]
fn a_path_takes_the_methods_that_are_described_and_no_others() {
    let mut methods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for operation in operations() {
        methods
            .entry(operation.path)
            .or_default()
            .insert(operation.method.as_str());
    }
    for (path, methods) in methods {
        let refused = resolve("TRACE", &fill_in(path)).unwrap().route.unwrap_err();
        let ApiError::MethodNotAllowed(allowed) = refused else {
            panic!("{path}: {refused:?}");
        };
        assert_eq!(allowed.split(", ").collect::<BTreeSet<_>>(), methods, "{path}");
    }
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
