//! The image and the size of a container. Under the scheduling policy `durable_object`, each start
//! chooses them; under `default`, the deployment has one of each.

use js_sys::{JSON, Object, Reflect};
use sandbox_protocol::Invalid;
use sandbox_protocol::sandbox::Settings;
use sandbox_protocol::snapshot::ContainerSnapshot;
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

    /// The platform's name of an image; `None`: each start has the image of the deployment. Error:
    /// the deployment has none of this name.
    pub fn image(&self, name: Option<&str>) -> Result<Option<String>, ApiError> {
        let Some(images) = self.images()? else {
            return Ok(None);
        };
        let name = name.unwrap_or(DEFAULT_IMAGE);
        let image = Reflect::get(&images, &name.into())?;
        let image = image.as_string().ok_or_else(|| {
            ApiError::NotConfigured(format!(
                "the deployment has no image {name}: see `images` in wrangler.jsonc"
            ))
        })?;
        Ok(Some(image))
    }

    /// Sets the image and the size in the options of a start; or, with a file system that was kept,
    /// that one and the size.
    pub(super) fn set_image(
        &self,
        options: &Object,
        settings: &StartSettings,
        container: Option<&ContainerSnapshot>,
    ) -> Result<(), ApiError> {
        let Some(image) = self.image(settings.image.as_deref())? else {
            return Ok(());
        };
        match container {
            Some(kept) => {
                let handle = JSON::parse(&kept.handle.to_string())?;
                Reflect::set(options, &"containerSnapshot".into(), &handle)?;
            }
            None => {
                Reflect::set(options, &"image".into(), &image.into())?;
            }
        }
        let instance = settings.instance.as_ref().unwrap_or(&self.instance);
        let instance = JSON::parse(&serde_json::to_string(instance)?)?;
        Reflect::set(options, &"instance".into(), &instance)?;
        Ok(())
    }
}
