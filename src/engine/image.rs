//! Images: looked up, asked for at a registry, pulled.

use std::collections::HashMap;

use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;

use super::translate::with_algorithm;
use super::{Container, Engine, Failure};
use crate::scanner::environment::Environment;
use crate::scanner::image::ImageRef;
use crate::scanner::observed::Observed;

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// With `sha256:`.
    pub id: String,
    /// The variables that it brings.
    pub env: Environment,
    /// Its digests at registries, `name@sha256:…`.
    pub digests: Vec<String>,
}

impl Engine {
    /// The image that `name` means to the engine.
    ///
    /// # Errors
    /// When the engine does not answer properly.
    pub async fn image(&self, name: &str) -> Result<Option<LocalImage>, Failure> {
        Ok(self.inspect_image(name).await?.map(|image| LocalImage::new(&image)))
    }

    /// What `container` is in the domain's words; its own image is looked up unless it is `wanted`.
    ///
    /// # Errors
    /// When the engine does not answer properly.
    pub async fn observe(&self, container: &Container, wanted: Option<&LocalImage>) -> Result<Observed, Failure> {
        let env = match wanted {
            Some(image) if image.id == container.image_id() => Some(image.env.clone()),
            _ => self.image_of(container).await?.map(|image| LocalImage::new(&image).env),
        };
        Ok(container.observe(env))
    }

    pub(super) async fn image_of(&self, container: &Container) -> Result<Option<ImageInspect>, Failure> {
        self.inspect_image(&container.image_id()).await
    }

    async fn inspect_image(&self, name: &str) -> Result<Option<ImageInspect>, Failure> {
        match self.call(&format!("inspect image `{name}`"), self.docker.inspect_image(name)).await {
            Ok(image) => Ok(Some(image)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The digest that a registry has for `image` now; nothing is fetched.
    ///
    /// # Errors
    /// When the registry does not have it, refuses, or cannot be reached.
    pub async fn registry_digest(&self, image: &ImageRef) -> Result<String, Failure> {
        let what = format!("ask the registry for image `{image}`");
        let found = self.call(&what, self.docker.inspect_registry_image(image.as_str(), None)).await?;
        Ok(found.descriptor.digest.unwrap_or_default())
    }

    /// Pulls `image`, however long it takes.
    ///
    /// # Errors
    /// When the registry does not have it, refuses, or cannot be reached.
    pub async fn pull(&self, image: &ImageRef) -> Result<(), Failure> {
        let (name, tag) = image.name_and_tag();
        let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
        let mut progress = std::pin::pin!(self.docker.create_image(Some(options), None, None));
        while let Some(step) = progress.next().await {
            step.map_err(|error| Failure::new(&error).during(&format!("pull image `{image}`")))?;
        }
        Ok(())
    }
}

impl LocalImage {
    fn new(image: &ImageInspect) -> Self {
        let config = image.config.as_ref();
        Self {
            id: with_algorithm(image.id.as_deref().unwrap_or_default()),
            env: Environment::from_entries(config.and_then(|config| config.env.as_ref()).into_iter().flatten()),
            digests: image.repo_digests.clone().unwrap_or_default(),
        }
    }
}

/// The labels that an image brings.
pub(super) fn labels(image: &ImageInspect) -> HashMap<String, String> {
    image.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default()
}
