//! The results that code displays.

use sandbox_protocol::code::{Bundle, LARGE_IMAGE, is_image};
use serde_json::{Map, Value};

use super::context::Context;
use super::message::Message;

/// The result in a message of a kernel. `context` keeps its large images, which have URLs then; with
/// `image_urls`, the result has these URLs alone.
pub fn bundle(mut message: Message, context: &Context, image_urls: bool) -> Bundle {
    let object = |content: &mut Value, name: &str| match content.get_mut(name).map(Value::take) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let data = object(&mut message.content, "data");
    let metadata = object(&mut message.content, "metadata");
    let mut bundle = Bundle::new(data, metadata);
    bundle.is_main = message.kind == "execute_result";
    bundle.is_update = message.kind == "update_display_data";
    bundle.execution_count = message.content.get("execution_count").and_then(Value::as_u64);
    let display_id = message.content.pointer("/transient/display_id");
    bundle.display_id = display_id.and_then(Value::as_str).map(str::to_owned);
    let large: Vec<String> = bundle
        .data
        .iter()
        .filter(|(name, value)| is_image(name) && value.as_str().is_some_and(|text| text.len() > LARGE_IMAGE))
        .map(|(name, _)| name.clone())
        .collect();
    for media_type in large {
        let content = bundle
            .data
            .get(&media_type)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(number) = context.images.keep(&media_type, content) else {
            continue;
        };
        let url = format!("context/{}/output/{number}/{media_type}", context.id);
        bundle.urls.insert(media_type.clone(), url.into());
        if image_urls {
            bundle.remove(&media_type);
        }
    }
    bundle
}
