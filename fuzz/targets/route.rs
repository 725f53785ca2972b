//! `METHOD PATH` → `sandbar::route::resolve`: every route reads back, and errors are those of the contract.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sandbar::error::ApiError;
use sandbar::route::{Route, resolve};

/// Every method that some route has, and one that none has.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"];

fuzz_target!(|input: &str| {
    let (method, path) = input.split_once(' ').unwrap_or(("GET", input));
    let resolved = match resolve(method, path) {
        Ok(resolved) => resolved,
        Err(refusal) => {
            // Whatever the method and the operation are: the id's form comes first.
            assert_eq!(refusal.status(), 400);
            assert!(path.starts_with("/v1/sandbox/"));
            assert!(METHODS.iter().all(|method| resolve(method, path).is_err()));
            return;
        }
    };
    // A mount's token, and not the key, opens the S3 that its s3fs speaks.
    let is_s3 = matches!(resolved.route, Ok(Route::S3(_)));
    assert_eq!(resolved.guarded, path.starts_with("/v1/") && !is_s3);
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
            other.route == Err(ApiError::NotFound),
            resolved.route == Err(ApiError::NotFound)
        );
    }
    match &resolved.route {
        Ok(route) => reads_back(method, route, resolved.guarded),
        Err(ApiError::MethodNotAllowed(allowed)) => {
            assert!(allowed.split(", ").all(|name| name != method));
            for (name, other) in METHODS.iter().zip(&others) {
                let is_allowed = !matches!(other.route, Err(ApiError::MethodNotAllowed(_)));
                assert_eq!(is_allowed, allowed.split(", ").any(|allowed| allowed == *name));
            }
        }
        Err(e) => assert!([400, 403, 404].contains(&e.parts().0)),
    }
});

/// The plainest request for `route` resolves to it.
fn reads_back(method: &str, route: &Route, is_guarded: bool) {
    let path = match route {
        Route::Health => "/health".to_owned(),
        Route::OpenApi => "/v1/openapi.json".to_owned(),
        Route::Explorer => "/v1/openapi.html".to_owned(),
        Route::ExplorerFile(file) => file.path().to_owned(),
        Route::PoolStats => "/v1/pool/stats".to_owned(),
        Route::PrimePool => "/v1/pool/prime".to_owned(),
        Route::ShutdownPrewarmed => "/v1/pool/shutdown-prewarmed".to_owned(),
        Route::Create => "/v1/sandbox".to_owned(),
        Route::Destroy(id) => format!("/v1/sandbox/{id}"),
        Route::Exec(id) => format!("/v1/sandbox/{id}/exec"),
        Route::Pty(id) => format!("/v1/sandbox/{id}/pty"),
        Route::ReadFile(id, path) | Route::WriteFile(id, path) => {
            format!("/v1/sandbox/{id}/file/{}", path.to_url())
        }
        Route::Persist(id) => format!("/v1/sandbox/{id}/persist"),
        Route::Hydrate(id) => format!("/v1/sandbox/{id}/hydrate"),
        Route::Running(id) => format!("/v1/sandbox/{id}/running"),
        Route::CreateSession(id) => format!("/v1/sandbox/{id}/session"),
        Route::DeleteSession(id, session) => format!("/v1/sandbox/{id}/session/{session}"),
        Route::OpenTunnel(id, port) | Route::CloseTunnel(id, port) => {
            format!("/v1/sandbox/{id}/tunnel/{port}")
        }
        Route::Mount(id) => format!("/v1/sandbox/{id}/mount"),
        Route::Unmount(id) => format!("/v1/sandbox/{id}/unmount"),
        Route::S3(id) => format!("/v1/sandbox/{id}/s3"),
    };
    let again = resolve(method, &path).unwrap();
    assert_eq!(again.route.as_ref(), Ok(route));
    assert_eq!(again.guarded, is_guarded);
    assert_eq!(
        is_guarded,
        !matches!(route, Route::Health | Route::ExplorerFile(_) | Route::S3(_))
    );
}
