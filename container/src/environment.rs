//! The environment that every command, process and terminal starts from: the variables of the image,
//! and over them those of the settings. Settings can change while the sandbox runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use tokio::sync::watch;

/// Variables, by their names.
pub type Variables = BTreeMap<OsString, OsString>;

/// The environment. Clones share it.
#[derive(Debug, Clone)]
pub struct Environment {
    image: Arc<Variables>,
    current: watch::Sender<Arc<Variables>>,
}

impl Environment {
    /// The environment of an image, without settings.
    pub fn new(image: Variables) -> Self {
        let image = Arc::new(image);
        Self {
            current: watch::Sender::new(Arc::clone(&image)),
            image,
        }
    }

    /// The variables of the image.
    pub fn image(&self) -> &Variables {
        &self.image
    }

    /// The variables of a command that starts now.
    pub fn current(&self) -> Arc<Variables> {
        Arc::clone(&self.current.borrow())
    }

    /// Sees the changes of these variables.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Variables>> {
        self.current.subscribe()
    }

    /// Replaces the variables of the settings.
    pub fn set(&self, settings: BTreeMap<String, String>) {
        let mut variables = Variables::clone(&self.image);
        variables.extend(
            settings
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        self.current.send_replace(Arc::new(variables));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_override_the_image_and_are_replaced_as_a_whole() {
        let image: Variables = [("A".into(), "1".into()), ("B".into(), "2".into())].into();
        let environment = Environment::new(image.clone());
        let shared = environment.clone();
        let variables = |pairs: &[(&str, &str)]| -> Variables {
            pairs
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        environment.set([("B".to_owned(), "3".to_owned()), ("C".to_owned(), "4".to_owned())].into());
        assert_eq!(
            *shared.current(),
            variables(&[("A", "1"), ("B", "3"), ("C", "4")])
        );
        environment.set(BTreeMap::new());
        assert_eq!(*shared.current(), image);
        assert_eq!(*shared.image(), image);
    }
}
