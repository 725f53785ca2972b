//! The document has everything that the contract, the document of the reference, promises.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sandbar_openapi::document;
use serde_json::{Value, json};

/// The reference's document, without its prose.
static CONTRACT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../tests/contract/bridge-v1.json")).unwrap());
static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// A value of a document, behind its references.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => resolve(document, document.pointer(&reference[1..]).expect(reference)),
        None => match value["anyOf"].as_array().map(Vec::as_slice) {
            // A value that may also be null.
            Some([one, null]) if null["type"] == "null" => resolve(document, one),
            _ => value,
        },
    }
}

/// The code of the contract that no operation ends in: the reference has it for a pool that does
/// not answer, which is `sandbox_unavailable` here.
const UNUSED_CODE: &str = "pool_error";

/// Every operation of the contract: its name, the contract's description and the document's.
fn operations() -> Vec<(String, &'static Value, &'static Value)> {
    let mut operations = Vec::new();
    for (path, methods) in CONTRACT["paths"].as_object().unwrap() {
        for (method, expected) in methods.as_object().unwrap() {
            let actual = &DOCUMENT["paths"][path][method];
            assert!(actual.is_object(), "{method} {path} is missing");
            operations.push((format!("{method} {path}"), expected, actual));
        }
    }
    operations
}

#[test]
fn every_operation_is_there_by_its_name() {
    for (at, expected, actual) in operations() {
        assert_eq!(expected["operationId"], actual["operationId"], "{at}");
        // Whether a key is needed. The document says more where the key may also be in the query.
        assert_eq!(
            expected["security"] == json!([]),
            actual["security"] == json!([]),
            "{at}"
        );
    }
}

#[test]
fn every_parameter_is_there() {
    for (at, expected, actual) in operations() {
        for parameter in expected["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let location = &parameter["in"];
            let found = actual["parameters"].as_array().into_iter().flatten();
            let mut found = found.filter(|actual| {
                actual["name"].as_str().unwrap().eq_ignore_ascii_case(name) && &actual["in"] == location
            });
            let found = found
                .next()
                .unwrap_or_else(|| panic!("{at} has no {name} in {location}"));
            assert_eq!(parameter["required"], found["required"], "{at}: {name}");
            covers(
                Side::Sent,
                &format!("{at}: {name}"),
                &parameter["schema"],
                &found["schema"],
            );
        }
    }
}

#[test]
fn every_body_is_there() {
    for (at, expected, actual) in operations() {
        let (expected, actual) = (&expected["requestBody"], &actual["requestBody"]);
        if expected.is_null() {
            continue;
        }
        assert_eq!(expected["required"], actual["required"], "{at}");
        contents_cover(Side::Sent, &at, expected, actual);
    }
}

#[test]
fn every_response_is_there() {
    for (at, expected, actual) in operations() {
        for (status, expected) in expected["responses"].as_object().unwrap() {
            let actual = &actual["responses"][status];
            assert!(actual.is_object(), "{at} has no {status}");
            contents_cover(
                Side::Got,
                &format!("{at} {status}"),
                resolve(&CONTRACT, expected),
                resolve(&DOCUMENT, actual),
            );
        }
    }
}

#[test]
fn every_schema_of_an_operation_is_there_by_its_name() {
    let schemas = CONTRACT["components"]["schemas"].as_object().unwrap();
    for (name, expected) in schemas {
        let actual = &DOCUMENT["components"]["schemas"][name];
        assert!(actual.is_object(), "no schema {name}");
        let side = if name.contains("Request") {
            Side::Sent
        } else {
            Side::Got
        };
        covers(side, name, expected, actual);
    }
}

/// Who makes a value.
#[derive(Debug, Clone, Copy)]
enum Side {
    /// The client: we may require less of it.
    Sent,
    /// The bridge: it may promise more.
    Got,
}

/// Every media type of a body is there, with its schema.
fn contents_cover(side: Side, at: &str, expected: &Value, actual: &Value) {
    for (kind, content) in expected["content"].as_object().into_iter().flatten() {
        let found = &actual["content"][kind];
        assert!(found.is_object(), "{at} has no {kind}");
        covers(
            side,
            &format!("{at} {kind}"),
            &content["schema"],
            &found["schema"],
        );
    }
}

/// Checks that a schema of the document covers that of the contract: its types, its properties, its
/// required fields and its names.
fn covers(side: Side, at: &str, expected: &Value, actual: &Value) {
    let (expected, actual) = (resolve(&CONTRACT, expected), resolve(&DOCUMENT, actual));
    let types = |schema: &Value| -> BTreeSet<String> {
        match &schema["type"] {
            Value::String(one) => [one.clone()].into(),
            Value::Array(several) => several
                .iter()
                .map(|one| one.as_str().unwrap().to_owned())
                .collect(),
            _ => BTreeSet::new(),
        }
    };
    assert!(
        types(expected).is_subset(&types(actual)),
        "{at}: {} is not {}",
        expected["type"],
        actual["type"]
    );
    for (name, expected) in expected["properties"].as_object().into_iter().flatten() {
        let actual = &actual["properties"][name];
        assert!(!actual.is_null(), "{at} has no {name}");
        covers(side, &format!("{at}.{name}"), expected, actual);
    }
    let list = |schema: &Value, field: &str| -> BTreeSet<String> {
        schema[field]
            .as_array()
            .into_iter()
            .flatten()
            .map(Value::to_string)
            .collect()
    };
    let (expected_required, actual_required) = (list(expected, "required"), list(actual, "required"));
    match side {
        Side::Sent => assert!(
            actual_required.is_subset(&expected_required),
            "{at}: {actual_required:?}"
        ),
        Side::Got => assert!(
            expected_required.is_subset(&actual_required),
            "{at}: {actual_required:?}"
        ),
    }
    let (expected_names, actual_names) = (list(expected, "enum"), list(actual, "enum"));
    let absent: Vec<_> = expected_names.difference(&actual_names).collect();
    let unused = format!("{UNUSED_CODE:?}");
    assert!(absent.iter().all(|name| **name == unused), "{at}: {absent:?}");
    for keyword in ["format", "minItems", "pattern", "minimum", "maximum"] {
        let (expected, actual) = (&expected[keyword], &actual[keyword]);
        assert!(
            expected.is_null() || expected == actual,
            "{at}: {keyword} {expected} is not {actual}"
        );
    }
    if !expected["items"].is_null() {
        covers(side, &format!("{at}[]"), &expected["items"], &actual["items"]);
    }
}
