//! The document and the tables of errors: it names every code, and no status that a code does not have.

use std::collections::{BTreeMap, BTreeSet};

use sandbar::error::ApiError;
use sandbar_openapi::{document, operations};
use sandbox_protocol::{ErrorCode, Invalid};

fn name(code: ErrorCode) -> String {
    serde_json::to_value(code).unwrap().as_str().unwrap().to_owned()
}

/// The statuses of each code, over all operations.
fn described() -> BTreeMap<String, BTreeSet<u16>> {
    let mut described: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for failure in operations().iter().flat_map(|operation| &operation.failures) {
        described
            .entry(failure.code_name())
            .or_default()
            .insert(failure.status);
    }
    described
}

#[test]
fn every_code_can_occur_somewhere() {
    let document = document();
    let codes = document["components"]["schemas"]["ErrorCode"]["enum"]
        .as_array()
        .unwrap();
    // These two are what a path that is none, and a method that it does not take, answer: no operation does.
    let elsewhere = [name(ErrorCode::NotFound), name(ErrorCode::MethodNotAllowed)];
    let about = document["info"]["description"].as_str().unwrap();
    for code in elsewhere {
        assert!(about.contains(&format!("`{code}`")));
    }
    let described = described();
    for code in codes.iter().map(|code| code.as_str().unwrap()) {
        let elsewhere = about.contains(&format!("`{code}`"));
        assert!(
            described.contains_key(code) || elsewhere,
            "no operation can end in {code}"
        );
    }
}

#[test]
fn every_error_of_the_worker_is_described_with_its_status() {
    let text = String::new;
    let described = described();
    for error in [
        ApiError::Invalid(Invalid::request("")),
        ApiError::Invalid(Invalid::outside("")),
        ApiError::Unauthorized,
        ApiError::NotConfigured(text()),
        ApiError::TooLarge { limit: 0 },
        ApiError::Unavailable(text()),
        ApiError::Capacity(text()),
        ApiError::Rate(text()),
        ApiError::StartFailed(text()),
        ApiError::Internal(text()),
    ] {
        let (status, code) = error.parts();
        assert!(described[&name(code)].contains(&status), "{error:?}");
    }
}

#[test]
fn no_operation_names_an_error_twice() {
    for operation in operations() {
        for (i, failure) in operation.failures.iter().enumerate() {
            let twice = operation.failures[i + 1..].contains(failure);
            assert!(!twice, "{}: {failure:?}", operation.id);
        }
    }
}
