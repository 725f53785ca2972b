//! `METHOD PATH` → `sandbar::resolve::resolve`: every operation is that of the table, and errors are
//! those of the contract.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbar::error::ApiError;
use sandbar::resolve::{Resolved, resolve};
use sandbox_protocol::route_table::{Access, Operation, ROUTES};

/// Every method that some route has, and one that only the route with every method has.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"];

fuzz_target!(|input: &str| {
    let (method, path) = input.split_once(' ').unwrap_or(("GET", input));
    let resolved = match resolve(method, path) {
        Ok(resolved) => resolved,
        Err(invalid) => {
            // The id's form comes first, whatever the method and the operation are.
            assert_eq!(invalid.status(), 400);
            assert!(path.starts_with("/v1/sandbox/"));
            assert!(METHODS.iter().all(|method| resolve(method, path).is_err()));
            return;
        }
    };
    let is_s3 = resolved.operation == Ok(Operation::MountS3);
    let takes_key = resolved.access == Access::Key;
    assert_eq!(takes_key, path.starts_with("/v1/") && !is_s3);
    if let Some(id) = &resolved.sandbox {
        let rest = path.strip_prefix("/v1/sandbox/").unwrap();
        assert!(rest == id.as_str() || rest.strip_prefix(id.as_str()).unwrap().starts_with('/'));
    }
    let others = METHODS.map(|method| resolve(method, path).unwrap());
    for other in &others {
        assert_eq!(
            (other.pattern, &other.sandbox),
            (resolved.pattern, &resolved.sandbox)
        );
        assert_eq!(
            other.operation == Err(ApiError::NotFound),
            resolved.operation == Err(ApiError::NotFound)
        );
    }
    match &resolved.operation {
        Ok(operation) => is_in_the_table(method, path, *operation, &resolved),
        Err(ApiError::MethodNotAllowed(allowed)) => {
            assert!(allowed.split(", ").all(|name| name != method));
            for (name, other) in METHODS.iter().zip(&others) {
                let is_allowed = !matches!(other.operation, Err(ApiError::MethodNotAllowed(_)));
                assert_eq!(is_allowed, allowed.split(", ").any(|allowed| allowed == *name));
            }
        }
        Err(e) => assert_eq!(*e, ApiError::NotFound),
    }
});

/// The operation is the one of its row, whose pattern with the parameters filled in is the path, or
/// what the path stands for.
fn is_in_the_table(method: &str, path: &str, operation: Operation, resolved: &Resolved<'_>) {
    let route = ROUTES.iter().find(|route| route.operation == operation).unwrap();
    assert!(route.method.takes(method));
    assert_eq!((route.pattern, route.access), (resolved.pattern, resolved.access));
    let mut filled_in = String::new();
    for (at, part) in route.pattern.split(['{', '}']).enumerate() {
        filled_in.push_str(match at % 2 {
            0 => part,
            _ => resolved.parameter(part),
        });
    }
    let (filled_in, path) = (filled_in.trim_end_matches('/'), path.trim_end_matches('/'));
    assert_eq!(filled_in, path);
}
