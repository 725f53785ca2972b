//! The image and the size of a container. Under the scheduling policy `durable_object`, each start
//! chooses them; under `default`, the deployment has one of each.

use js_sys::{Object, Reflect};
use sandbox_protocol::Invalid;
use sandbox_protocol::sandbox::Settings;
use wasm_bindgen::{JsCast, JsValue};

use super::super::record::StartSettings;
use super::ContainerRuntime;
use crate::error::ApiError;

/// The image of a sandbox that names none.
const DEFAULT_IMAGE: &str = "base";

impl ContainerRuntime {
    /// The images of the deployment, by their names. `None`: the scheduling policy of the
    /// deployment is `default`, which has one image and one size.
    fn images(&self) -> Result<Option<JsValue>, JsValue> {
        let images = Reflect::get(&self.handle, &"images".into())?;
        let names = images.dyn_ref::<Object>().map(Object::keys);
        Ok(names.is_some_and(|names| names.length() > 0).then_some(images))
    }

    /// Whether each start chooses an image and a size.
    pub fn has_images(&self) -> bool {
        matches!(self.images(), Ok(Some(_)))
    }

    /// See [`Runtime::check`](crate::sandbox::runtime::Runtime::check).
    pub fn check(&self, settings: &Settings) -> Result<(), ApiError> {
        if settings.image.is_none() && settings.instance.is_none() {
            return Ok(());
        }
        let Some(images) = self.images()? else {
            return Err(ApiError::NotSupported(
                "image and instance are not supported here: the scheduling policy of this deployment is `default`, which has one \
                 image and one size"
                    .into(),
            ));
        };
        let names = Object::keys(images.unchecked_ref::<Object>());
        match &settings.image {
            Some(image) if !names.includes(&image.into(), 0) => {
                Err(Invalid::request(format!("image must be one of {}", names.join(", "))).into())
            }
            _ => Ok(()),
        }
    }

    /// Sets the image and the size in the options of a start.
    pub(super) fn set_image(&self, options: &Object, settings: &StartSettings) -> Result<(), ApiError> {
        let Some(images) = self.images()? else {
            return Ok(());
        };
        let name = settings.image.as_deref().unwrap_or(DEFAULT_IMAGE);
        let image = Reflect::get(&images, &name.into())?;
        if image.is_undefined() {
            return Err(ApiError::NotConfigured(format!(
                "the deployment has no image {name}: see `images` in wrangler.jsonc"
            )));
        }
        Reflect::set(options, &"image".into(), &image)?;
        let instance = settings.instance.as_ref().unwrap_or(&self.instance);
        let instance = js_sys::JSON::parse(&serde_json::to_string(instance)?)?;
        Reflect::set(options, &"instance".into(), &instance)?;
        Ok(())
    }
}
