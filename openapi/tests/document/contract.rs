//! The document and the contract: whatever the reference's document promises stands in ours too.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sandbar_openapi::document;
use serde_json::{Value, json};

/// The reference's document, without its prose.
static CONTRACT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../tests/contract/bridge-v1.json")).unwrap());
static OURS: LazyLock<Value> = LazyLock::new(document);

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

/// The code of the contract that no operation ends in: the reference has it for a pool that does not answer, which is
/// `sandbox_unavailable` here.
const UNUSED_CODE: &str = "pool_error";

/// Every operation of the contract: where it is, the contract's and ours.
fn operations() -> Vec<(String, &'static Value, &'static Value)> {
    let mut operations = Vec::new();
    for (path, methods) in CONTRACT["paths"].as_object().unwrap() {
        for (method, theirs) in methods.as_object().unwrap() {
            let ours = &OURS["paths"][path][method];
            assert!(ours.is_object(), "{method} {path} is missing");
            operations.push((format!("{method} {path}"), theirs, ours));
        }
    }
    operations
}

#[test]
fn every_operation_is_there_by_its_name() {
    for (at, theirs, ours) in operations() {
        assert_eq!(theirs["operationId"], ours["operationId"], "{at}");
        // Whether anybody may call it: where the key may come in the query as well, ours says more.
        assert_eq!(
            theirs["security"] == json!([]),
            ours["security"] == json!([]),
            "{at}"
        );
    }
}

#[test]
fn every_parameter_is_there() {
    for (at, theirs, ours) in operations() {
        for parameter in theirs["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let place = &parameter["in"];
            let found = ours["parameters"].as_array().into_iter().flatten();
            let mut found = found.filter(|ours| {
                ours["name"].as_str().unwrap().eq_ignore_ascii_case(name) && &ours["in"] == place
            });
            let found = found
                .next()
                .unwrap_or_else(|| panic!("{at} has no {name} in {place}"));
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
    for (at, theirs, ours) in operations() {
        let (theirs, ours) = (&theirs["requestBody"], &ours["requestBody"]);
        if theirs.is_null() {
            continue;
        }
        assert_eq!(theirs["required"], ours["required"], "{at}");
        contents_cover(Side::Sent, &at, theirs, ours);
    }
}

#[test]
fn every_response_is_there() {
    for (at, theirs, ours) in operations() {
        for (status, theirs) in theirs["responses"].as_object().unwrap() {
            let ours = &ours["responses"][status];
            assert!(ours.is_object(), "{at} has no {status}");
            contents_cover(
                Side::Got,
                &format!("{at} {status}"),
                resolve(&CONTRACT, theirs),
                resolve(&OURS, ours),
            );
        }
    }
}

#[test]
fn every_schema_of_an_operation_is_there_by_its_name() {
    let schemas = CONTRACT["components"]["schemas"].as_object().unwrap();
    for (name, theirs) in schemas {
        let ours = &OURS["components"]["schemas"][name];
        assert!(ours.is_object(), "no schema {name}");
        let side = if name.contains("Request") {
            Side::Sent
        } else {
            Side::Got
        };
        covers(side, name, theirs, ours);
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
fn contents_cover(side: Side, at: &str, theirs: &Value, ours: &Value) {
    for (kind, content) in theirs["content"].as_object().into_iter().flatten() {
        let found = &ours["content"][kind];
        assert!(found.is_object(), "{at} has no {kind}");
        covers(
            side,
            &format!("{at} {kind}"),
            &content["schema"],
            &found["schema"],
        );
    }
}

/// Whether what the contract says of a schema holds of ours: its type is among ours, its properties are there,
/// what it requires is what we require, and the names that it lists we list.
fn covers(side: Side, at: &str, theirs: &Value, ours: &Value) {
    let (theirs, ours) = (resolve(&CONTRACT, theirs), resolve(&OURS, ours));
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
        types(theirs).is_subset(&types(ours)),
        "{at}: {} is not {}",
        theirs["type"],
        ours["type"]
    );
    for (name, theirs) in theirs["properties"].as_object().into_iter().flatten() {
        let ours = &ours["properties"][name];
        assert!(!ours.is_null(), "{at} has no {name}");
        covers(side, &format!("{at}.{name}"), theirs, ours);
    }
    let list = |schema: &Value, field: &str| -> BTreeSet<String> {
        schema[field]
            .as_array()
            .into_iter()
            .flatten()
            .map(Value::to_string)
            .collect()
    };
    let (theirs_required, ours_required) = (list(theirs, "required"), list(ours, "required"));
    match side {
        Side::Sent => assert!(
            ours_required.is_subset(&theirs_required),
            "{at}: {ours_required:?}"
        ),
        Side::Got => assert!(
            theirs_required.is_subset(&ours_required),
            "{at}: {ours_required:?}"
        ),
    }
    let (theirs_names, our_names) = (list(theirs, "enum"), list(ours, "enum"));
    let absent: Vec<_> = theirs_names.difference(&our_names).collect();
    let unused = format!("{UNUSED_CODE:?}");
    assert!(absent.iter().all(|name| **name == unused), "{at}: {absent:?}");
    for keyword in ["format", "minItems", "pattern", "minimum", "maximum"] {
        let (theirs, ours) = (&theirs[keyword], &ours[keyword]);
        assert!(
            theirs.is_null() || theirs == ours,
            "{at}: {keyword} {theirs} is not {ours}"
        );
    }
    if !theirs["items"].is_null() {
        covers(side, &format!("{at}[]"), &theirs["items"], &ours["items"]);
    }
}
