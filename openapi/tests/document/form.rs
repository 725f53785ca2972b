//! The document is what OpenAPI 3.1 asks for, as far as clients depend on it.

use std::collections::BTreeSet;

use sandbar_openapi::{document, operations};
use serde_json::Value;

#[test]
fn its_version_is_one_that_clients_know() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["version"].as_str().unwrap().starts_with("1."));
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    for reference in &references {
        let pointer = reference
            .strip_prefix('#')
            .expect("a reference into the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let used = references.contains(&format!("#/components/schemas/{name}"));
        // Only the text of an operation speaks of these events of a stream.
        assert!(
            used || ["CheckoutFailure", "Exit", "Gap", "WatchEvent"].contains(&name.as_str()),
            "nothing refers to {name}"
        );
    }
}

#[test]
fn operation_ids_and_their_texts_are_there_and_unique() {
    let operations = operations();
    let ids: BTreeSet<&str> = operations.iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), operations.len());
    for operation in &operations {
        assert!(!operation.summary.is_empty(), "{}", operation.id);
        assert!(!operation.answers.is_empty(), "{}", operation.id);
    }
    let document = document();
    let tags = document["tags"].as_array().unwrap();
    for operation in &operations {
        assert!(
            tags.iter().any(|tag| tag["name"] == operation.tag),
            "{}",
            operation.id
        );
        let methods = operation.methods();
        assert_eq!(methods[0].1, operation.id);
        for (method, id) in methods {
            let written = &document["paths"][operation.path][&method];
            assert_eq!(written["operationId"], id);
            assert!(written["x-codeSamples"][0]["source"].is_string(), "{id}");
        }
    }
}

#[test]
fn every_example_is_of_its_schema() {
    let document = document();
    let mut checked = 0;
    check_examples(&document, &document, &mut checked);
    assert!(checked > 50, "only {checked} examples");
}

/// Every object with a `schema` and examples beside it.
fn check_examples(document: &Value, at: &Value, checked: &mut usize) {
    match at {
        Value::Object(fields) => {
            if let Some(schema) = fields.get("schema") {
                let mut examples: Vec<&Value> = fields.get("example").into_iter().collect();
                let named = fields.get("examples").and_then(Value::as_object);
                examples.extend(named.into_iter().flatten().map(|(_, example)| &example["value"]));
                for example in examples {
                    let validator = validator(document, schema);
                    let errors: Vec<String> = validator.iter_errors(example).map(|e| e.to_string()).collect();
                    assert!(errors.is_empty(), "{example}: {errors:?}");
                    *checked += 1;
                }
            }
            fields
                .values()
                .for_each(|value| check_examples(document, value, checked));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|value| check_examples(document, value, checked)),
        _ => {}
    }
}

/// A validator for a schema of the document.
pub fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn collect_references(at: &Value, references: &mut BTreeSet<String>) {
    match at {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields
                .values()
                .for_each(|value| collect_references(value, references));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|value| collect_references(value, references)),
        _ => {}
    }
}
