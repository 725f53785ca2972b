//! The schemas of the types of `sandbox-protocol`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

thread_local! {
    static REQUESTS: RefCell<SchemaGenerator> = RefCell::new(generator(SchemaSettings::for_deserialize));
    static ANSWERS: RefCell<SchemaGenerator> = RefCell::new(generator(SchemaSettings::for_serialize));
}

fn generator(contract: fn(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    contract(SchemaSettings::draft2020_12())
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator()
}

/// The schema of a request body. A named type is a reference to the components.
pub fn of_request<T: JsonSchema>() -> Value {
    REQUESTS.with_borrow_mut(|requests| requests.subschema_for::<T>().to_value())
}

/// The schema of a response body.
pub fn of_answer<T: JsonSchema>() -> Value {
    ANSWERS.with_borrow_mut(|answers| answers.subschema_for::<T>().to_value())
}

/// The types that the schemas so far refer to, by name.
pub fn components() -> BTreeMap<String, Value> {
    let mut components = BTreeMap::new();
    for generator in [&REQUESTS, &ANSWERS] {
        let definitions = generator.with_borrow_mut(|generator| generator.take_definitions(true));
        components.extend(definitions);
    }
    for schema in components.values_mut() {
        if let Ok(schema) = <&mut Schema>::try_from(schema) {
            RecursiveTransform(name_variants).transform(schema);
        }
    }
    components
}

/// Turns a choice of constants, which schemars makes of a documented enum, into an `enum`.
/// Generators of clients know `enum`, and a reader finds the meaning of each name in the
/// description.
fn name_variants(schema: &mut Schema) {
    let Some(Value::Array(variants)) = schema.get("oneOf") else {
        return;
    };
    let name = |variant: &Value| Some(variant.get("const")?.as_str()?.to_owned());
    let Some(names) = variants.iter().map(name).collect::<Option<Vec<_>>>() else {
        return;
    };
    let meanings: Vec<String> = variants
        .iter()
        .zip(&names)
        .map(|(variant, name)| format!("- `{name}`: {}", described(variant)))
        .collect();
    let text = schema
        .get("description")
        .map_or("", |text| text.as_str().unwrap_or(""));
    let description = format!("{text}\n\n{}", meanings.join("\n"));
    schema.remove("oneOf");
    schema.insert("type".into(), json!("string"));
    schema.insert("enum".into(), json!(names));
    schema.insert("description".into(), json!(description));
}

fn described(variant: &Value) -> &str {
    variant
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}
