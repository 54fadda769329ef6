//! Images: looked up, asked for at a registry, pulled.

use std::io;

use bollard::auth::DockerCredentials;
use bollard::body_try_stream;
use bollard::models::ImageConfig;
use bollard::query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder};
use docker_credential::DockerCredential;
use futures_util::{Stream, StreamExt};
use hyper::body::Bytes;
use serde::Deserialize;

use super::translate::with_algorithm;
use super::{Container, Engine, Failure};
use crate::scanner::desired::Credentials;
use crate::scanner::environment::Environment;
use crate::scanner::image::ImageRef;
use crate::scanner::observed::Observed;
use crate::secret;

/// The name under which docker login files the default registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalImage {
    /// With `sha256:`.
    pub id: String,
    /// Its digests at registries, `name@sha256:…`.
    pub digests: Vec<String>,
    /// What its containers have from it.
    pub config: ImageConfig,
}

/// The engine's answer, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    repo_digests: Option<Vec<String>>,
    config: Option<ImageConfig>,
}

impl Engine {
    /// The image that `name` means to the engine.
    ///
    /// # Errors
    /// When the engine does not answer properly.
    pub async fn image(&self, name: &str) -> Result<Option<LocalImage>, Failure> {
        match self.get::<Inspected>(&format!("inspect image `{name}`"), &format!("/images/{name}/json")).await {
            Ok(inspected) => {
                let image = LocalImage::from(inspected);
                self.brought.borrow_mut().insert(image.id.clone(), Some(image.env()));
                Ok(Some(image))
            }
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// What `container` is in the domain's words. Its image is looked up, if no other container needed that before: what
    /// it brings to the environment is no secret, and would mask half a message if it were taken for one.
    pub(super) async fn observe(&self, container: &Container) -> Result<Observed, Failure> {
        let id = container.image_id();
        if !self.brought.borrow().contains_key(&id) {
            let brought = self.image(&id).await?.map(|image| image.env());
            self.brought.borrow_mut().insert(id.clone(), brought);
        }
        let brought = self.brought.borrow().get(&id).cloned().flatten();
        Ok(container.observe(brought))
    }

    /// The digest that a registry has for `image` now; nothing is fetched.
    ///
    /// # Errors
    /// When the registry does not have it, refuses, or cannot be reached.
    pub async fn registry_digest(&self, image: &ImageRef, user: Option<&Credentials>) -> Result<String, Failure> {
        let what = format!("ask the registry for image `{image}`");
        let found =
            self.call(&what, self.docker.inspect_registry_image(image.as_str(), credentials(image, user))).await?;
        Ok(found.descriptor.digest.unwrap_or_default())
    }

    /// Loads the images of an archive that comes as a stream of bytes, however long it takes.
    ///
    /// # Errors
    /// When the archive breaks off or the engine cannot use it.
    pub async fn load(&self, archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Result<(), Failure> {
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let mut progress = std::pin::pin!(self.docker.import_image(options, body_try_stream(archive), None));
        while let Some(step) = progress.next().await {
            step.map_err(|error| Failure::new(&error).during("load the image archive"))?;
        }
        Ok(())
    }

    /// Pulls `image`, however long it takes.
    ///
    /// # Errors
    /// When the registry does not have it, refuses, or cannot be reached.
    pub async fn pull(&self, image: &ImageRef, user: Option<&Credentials>) -> Result<(), Failure> {
        let (name, tag) = image.name_and_tag();
        let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
        let mut progress = std::pin::pin!(self.docker.create_image(Some(options), None, credentials(image, user)));
        while let Some(step) = progress.next().await {
            step.map_err(|error| Failure::new(&error).during(&format!("pull image `{image}`")))?;
        }
        Ok(())
    }
}

/// What the registry of `image` is told: `user`, else what the host's docker configuration has for it, be it in the file or
/// in one of its credential helpers.
fn credentials(image: &ImageRef, user: Option<&Credentials>) -> Option<DockerCredentials> {
    let registry = image.registry();
    let serveraddress = Some(registry.to_owned());
    if let Some(Credentials { username, password }) = user {
        let (username, password) = (Some(username.clone()), Some(password.expose().to_owned()));
        return Some(DockerCredentials { username, password, serveraddress, ..DockerCredentials::default() });
    }
    let filed_under = if registry == "docker.io" { DOCKER_HUB } else { registry };
    // No configuration, no entry, a helper that fails: the registry may serve without, and says so if not.
    match docker_credential::get_credential(filed_under).ok()? {
        DockerCredential::UsernamePassword(username, password) => {
            secret::remember(&password);
            let (username, password) = (Some(username), Some(password));
            Some(DockerCredentials { username, password, serveraddress, ..DockerCredentials::default() })
        }
        DockerCredential::IdentityToken(token) => {
            secret::remember(&token);
            Some(DockerCredentials { identitytoken: Some(token), serveraddress, ..DockerCredentials::default() })
        }
    }
}

impl LocalImage {
    /// The variables that it brings.
    #[must_use]
    pub fn env(&self) -> Environment {
        Environment::from_entries(self.config.env.iter().flatten())
    }
}

impl From<Inspected> for LocalImage {
    fn from(inspected: Inspected) -> Self {
        Self {
            id: with_algorithm(&inspected.id),
            digests: inspected.repo_digests.unwrap_or_default(),
            config: inspected.config.unwrap_or_default(),
        }
    }
}
