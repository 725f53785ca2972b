//! The file system of a container, as the platform keeps it.

use std::time::Duration;

use js_sys::{JSON, Reflect};
use sandbox_protocol::snapshot::ContainerSnapshot;
use wasm_bindgen_futures::JsFuture;

use super::{ContainerRuntime, Failure, object};
use crate::deadline::within;
use crate::error::ApiError;

/// The timeout of a snapshot.
const TIMEOUT: Duration = Duration::from_secs(30);

impl ContainerRuntime {
    /// See [`Runtime::kept_image`](crate::sandbox::runtime::Runtime::kept_image).
    pub fn kept_image(&self, image: Option<&str>) -> Result<Option<String>, ApiError> {
        match Reflect::get(&self.handle, &"snapshotContainer".into())?.is_function() {
            true => self.image(image),
            false => Ok(None),
        }
    }

    /// See [`Runtime::keep_container`](crate::sandbox::runtime::Runtime::keep_container).
    pub async fn keep(&self, image: String, name: &str) -> Result<ContainerSnapshot, ApiError> {
        self.sync().await?;
        let options = object([("name", name)])?;
        let kept = async { JsFuture::from(self.handle.snapshot_container(&options)?).await };
        let handle = within(TIMEOUT, "the platform's snapshotContainer", kept)
            .await?
            .map_err(|thrown| Failure::from_thrown(&thrown).into_api_error())?;
        let handle = JSON::stringify(&handle)?;
        Ok(ContainerSnapshot {
            handle: serde_json::from_str(&String::from(handle))?,
            image,
        })
    }
}
