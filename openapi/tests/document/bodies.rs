//! The schemas of JSON bodies and the parsers of the same types agree on any value.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::string::string_regex;
use proptest::test_runner::{Config, TestRunner};
use sandbar_openapi::{Body, document, operations};
use serde_json::{Map, Value, json};

use crate::form::validator;

/// Every JSON body and the operation that takes it.
fn bodies() -> Vec<(&'static str, Body)> {
    let bodies: Vec<_> = operations()
        .into_iter()
        .filter_map(|operation| Some((operation.id, operation.body?)))
        .filter(|(_, body)| body.content.media_type == "application/json")
        .collect();
    assert!(!bodies.is_empty());
    bodies
}

/// Whether a body is taken. `None`: not, for a reason that no schema can say, as that a path leads
/// out of the workspace.
fn parses(body: &Body, value: &Value) -> Option<bool> {
    let parse = body.parse.expect("a parser of every JSON body");
    match parse(value.to_string().as_bytes()) {
        Ok(()) => Some(true),
        Err(error) => {
            let text = error.message();
            let besides = body.besides.iter().any(|beginning| text.starts_with(beginning));
            (error.status() != 403 && !besides).then_some(false)
        }
    }
}

#[test]
fn what_the_schema_describes_is_taken_and_what_it_rules_out_is_refused() {
    let document = document();
    for (id, body) in bodies() {
        let validator = validator(&document, &body.content.schema);
        let described = described(&document, &body.content.schema);
        let case = (described, vec(change(), 0..3));
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            ..Config::with_cases(2_000)
        });
        runner
            .run(&case, |(mut value, changes)| {
                prop_assert!(
                    validator.is_valid(&value),
                    "{id}: {value} is not what its schema describes"
                );
                for change in changes {
                    change.apply(&mut value);
                }
                if let Some(taken) = parses(&body, &value) {
                    prop_assert_eq!(validator.is_valid(&value), taken, "{}: {}", id, value);
                }
                Ok(())
            })
            .unwrap();
        for wrong in [json!([]), json!("x"), json!(1), json!(true), Value::Null] {
            assert!(
                !validator.is_valid(&wrong) && parses(&body, &wrong) == Some(false),
                "{id}: {wrong}"
            );
        }
    }
}

#[test]
fn the_examples_are_taken() {
    for (id, body) in bodies() {
        assert!(!body.content.examples.is_empty(), "{id}");
        for (name, example) in &body.content.examples {
            body.parse.unwrap()(example.to_string().as_bytes())
                .unwrap_or_else(|e| panic!("{id}, {name}: {e}"));
        }
    }
}

#[test]
fn every_documented_field_is_read() {
    let document = document();
    for (id, body) in bodies() {
        let schema = match body.content.schema["$ref"].as_str() {
            Some(reference) => document.pointer(&reference[1..]).unwrap(),
            None => &body.content.schema,
        };
        for schema in kinds(schema) {
            let validator = validator(&document, &schema);
            let examples = &mut body.content.examples.iter();
            let is_of_kind = |(_, example): &&(String, Value)| validator.is_valid(example);
            let (_, example) = examples.find(is_of_kind).expect("an example of each kind");
            for name in schema["properties"].as_object().unwrap().keys() {
                // No field of a body takes every value: one that is not read would.
                let taken = [json!(1.5), json!(["\0"]), json!("\0"), json!({ "": 1 })]
                    .iter()
                    .all(|value| {
                        let mut wrong = example.clone();
                        wrong[name] = value.clone();
                        parses(&body, &wrong) == Some(true)
                    });
                assert!(!taken, "{id} does not read {name}");
            }
        }
    }
}

/// The schemas of the kinds of an object: the fields of one choice of its `oneOf` each, and its
/// other fields.
fn kinds(schema: &Value) -> Vec<Value> {
    let Some(choices) = schema["oneOf"].as_array() else {
        return vec![schema.clone()];
    };
    let kind = |choice: &Value| {
        let mut kind = schema.clone();
        kind["type"] = json!("object");
        kind.as_object_mut().unwrap().remove("oneOf");
        // The fields of the other choices are absent.
        for name in choices
            .iter()
            .flat_map(|other| other["properties"].as_object().unwrap().keys())
        {
            if let Some(fields) = kind["properties"].as_object_mut() {
                fields.retain(|field, _| field != name || !choice["properties"][name].is_null());
            }
        }
        for (name, field) in choice["properties"].as_object().unwrap() {
            for (keyword, value) in field.as_object().unwrap() {
                kind["properties"][name][keyword] = value.clone();
            }
        }
        kind["required"] = choice["required"].clone();
        kind
    };
    choices.iter().map(kind).collect()
}

/// A value that a schema describes.
fn described(document: &Value, schema: &Value) -> BoxedStrategy<Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        return described(document, document.pointer(&reference[1..]).expect(reference));
    }
    if let Some(values) = schema["enum"].as_array() {
        return select(values.clone()).boxed();
    }
    if schema["oneOf"].is_array() {
        let kinds = kinds(schema);
        let kinds = kinds.iter().map(|kind| object(document, kind));
        return proptest::strategy::Union::new(kinds).boxed();
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let choices = choices.iter().map(|choice| described(document, choice));
        return proptest::strategy::Union::new(choices).boxed();
    }
    match &schema["type"] {
        Value::Array(types) => {
            let one = |kind: &Value| {
                let mut narrowed = schema.clone();
                narrowed["type"] = kind.clone();
                described(document, &narrowed)
            };
            proptest::strategy::Union::new(types.iter().map(one)).boxed()
        }
        Value::String(kind) => of_type(document, kind, schema),
        _ => anything(),
    }
}

fn of_type(document: &Value, kind: &str, schema: &Value) -> BoxedStrategy<Value> {
    match kind {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" => {
            let bound = |name: &str, default: u64| schema[name].as_u64().unwrap_or(default);
            (bound("minimum", 0)..=bound("maximum", u64::MAX))
                .prop_map(Value::from)
                .boxed()
        }
        "number" => (0.001..1000.0_f64).prop_map(Value::from).boxed(),
        "string" => text(schema).prop_map(Value::from).boxed(),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
            vec(described(document, &schema["items"]), least..least + 4)
                .prop_map(Value::from)
                .boxed()
        }
        "object" => object(document, schema),
        other => panic!("no values of type {other}"),
    }
}

fn object(document: &Value, schema: &Value) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut fields = Just(Map::new()).boxed();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let (name, value) = (name.clone(), described(document, field));
        let value = if required.contains(&json!(name)) {
            value.prop_map(Some).boxed()
        } else {
            proptest::option::of(value).boxed()
        };
        let insert = move |(mut fields, value): (Map<String, Value>, Option<Value>)| {
            fields.extend(value.map(|value| (name.clone(), value)));
            fields
        };
        fields = (fields, value).prop_map(insert).boxed();
    }
    let others = &schema["additionalProperties"];
    if others.is_object() {
        let more = btree_map(text(&schema["propertyNames"]), described(document, others), 0..4);
        let insert = |(mut fields, more): (Map<String, Value>, _)| {
            fields.extend(more);
            fields
        };
        fields = (fields, more).prop_map(insert).boxed();
    }
    fields.prop_map(Value::from).boxed()
}

fn text(schema: &Value) -> BoxedStrategy<String> {
    let pattern = schema["pattern"].as_str().unwrap_or("^.*$");
    let pattern = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
    let pattern = pattern.unwrap_or_else(|| panic!("{schema} has no whole pattern"));
    let least = schema["minLength"].as_u64().unwrap_or(0) as usize;
    let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX) as usize;
    let excluded = schema["not"]["pattern"]
        .as_str()
        .map(|part| part.replace('\\', ""));
    string_regex(pattern)
        .unwrap()
        .prop_filter("minLength, maxLength, not", move |text| {
            (least..=most).contains(&text.chars().count())
                && !excluded.as_ref().is_some_and(|part| text.contains(part))
        })
        .boxed()
}

/// Any JSON value, of the kinds that parsers stumble over.
fn anything() -> BoxedStrategy<Value> {
    let odd = select(vec![
        Value::Null,
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1000.0),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("\0"),
        json!("é/../.."),
        json!([]),
        json!(["a\0b"]),
        json!([1]),
        json!({}),
        json!({ "": "" }),
        json!({ "a=b": "c" }),
        json!({ "A": "\0" }),
        json!({ "A": 1 }),
        json!({ "base64": "AAA" }),
        json!({ "base64": "AB==" }),
        json!({ "base64": "AA==" }),
    ]);
    prop_oneof![
        odd,
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from)
    ]
    .boxed()
}

/// Something that is done to a value to make another one, wrong or not.
#[derive(Debug, Clone)]
enum Change {
    /// Replaces the value at a pointer.
    Replace(Index, Value),
    /// Removes the value at a pointer.
    Remove(Index),
    /// A field that no schema knows is added.
    Add(Value),
}

fn change() -> BoxedStrategy<Change> {
    prop_oneof![
        (any::<Index>(), anything()).prop_map(|(at, value)| Change::Replace(at, value)),
        any::<Index>().prop_map(Change::Remove),
        anything().prop_map(Change::Add),
    ]
    .boxed()
}

impl Change {
    fn apply(self, value: &mut Value) {
        let mut pointers = Vec::new();
        collect_pointers(value, String::new(), &mut pointers);
        match self {
            Self::Replace(at, new) => {
                if let Some(target) = value.pointer_mut(at.get(&pointers).as_str()) {
                    *target = new;
                }
            }
            Self::Remove(at) => {
                let pointer = at.get(&pointers);
                let Some((parent, name)) = pointer.rsplit_once('/') else {
                    return;
                };
                let name = name.replace("~1", "/").replace("~0", "~");
                match value.pointer_mut(parent) {
                    Some(Value::Object(fields)) => drop(fields.remove(&name)),
                    Some(Value::Array(items)) => drop(items.remove(name.parse().unwrap())),
                    _ => {}
                }
            }
            Self::Add(new) => {
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("undocumented".into(), new);
                }
            }
        }
    }
}

/// The JSON pointers of a value and of everything in it.
fn collect_pointers(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect_pointers(field, format!("{at}/{name}"), pointers);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                collect_pointers(item, format!("{at}/{i}"), pointers);
            }
        }
        _ => {}
    }
    pointers.push(at);
}
