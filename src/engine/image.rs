//! Images: inspect, pull, load, and the digest that a registry has.

use std::collections::BTreeMap;
use std::io;

use bollard::body_try_stream;
use futures_util::{Stream, TryStreamExt};
use hyper::body::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::standstill::Movement;
use super::translate::with_algorithm;
use super::transport::Call;
use super::{Docker, Failure, credentials, progress};
use crate::scanner::policy::Credentials;
use crate::scanner::values::directory::plain;
use crate::scanner::values::environment::Environment;
use crate::scanner::values::image::{Brought, ImageRef};

/// The API version of the first Docker that decompresses zstd.
const ZSTD: (usize, usize) = (1, 42);

/// How many times the limit of a call a pull or load may stand still.
const STANDSTILL: u32 = 10;

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// With `sha256:`.
    pub id: String,
    /// Its digests at registries, `name@sha256:…`.
    pub digests: Vec<String>,
    /// What it brings to its containers.
    pub brought: Brought,
}

/// The answer to `GET /images/{name}/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    repo_digests: Option<Vec<String>>,
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    env: Option<Vec<String>>,
    volumes: Option<BTreeMap<String, Value>>,
}

impl Docker {
    pub(super) async fn look_up_image(&self, name: &str) -> Result<Option<LocalImage>, Failure> {
        let Some(inspected) = self.inspect_image::<Inspected>(name).await? else { return Ok(None) };
        let (env, volumes) = inspected.config.map(|config| (config.env, config.volumes)).unwrap_or_default();
        let brought = Brought {
            env: Environment::from_entries(env.iter().flatten()),
            volumes: volumes.iter().flatten().map(|(path, _)| plain(path)).collect(),
        };
        let image = LocalImage {
            id: with_algorithm(&inspected.id),
            digests: inspected.repo_digests.unwrap_or_default(),
            brought,
        };
        self.brought.borrow_mut().insert(image.id.clone(), Some(image.brought.clone()));
        Ok(Some(image))
    }

    /// All that the image of `id` brings to its containers; `None` when the image is gone.
    pub(super) async fn image_config(&self, id: &str) -> Result<Option<Value>, Failure> {
        let inspected = self.inspect_image::<Value>(id).await?;
        Ok(inspected.map(|mut inspected| inspected.get_mut("Config").map(Value::take).unwrap_or_default()))
    }

    async fn inspect_image<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let path = format!("/images/{name}/json");
        match self.ask(&format!("inspect image `{name}`"), self.transport.get(&path)).await {
            Ok(inspected) => Ok(Some(inspected)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// `None`: the engine has no such call, as Podman has none.
    pub(super) async fn ask_registry(
        &self,
        image: &ImageRef,
        user: Option<&Credentials>,
    ) -> Result<Option<String>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Distribution {
            descriptor: Descriptor,
        }
        // The registry's own spelling.
        #[derive(Deserialize)]
        struct Descriptor {
            digest: Option<String>,
        }
        let path = format!("/distribution/{image}/json");
        let user = credentials::header(image.registry(), user, self.timeout).await?;
        let asking = self.transport.get_for::<Distribution>(&path, user);
        match self.ask(&format!("get the digest of image `{image}` from its registry"), asking).await {
            Err(failure) if failure.is_not_found() && self.transport.is_podman() => Ok(None),
            found => Ok(Some(found?.descriptor.digest.unwrap_or_default())),
        }
    }

    /// Docker does from 23 on, every Podman does.
    pub(super) async fn takes_zstd(&self) -> Result<bool, Failure> {
        let version = self.ask("agree on a version", self.transport.agree()).await?;
        let newest = (version.major_version, version.minor_version);
        Ok(newest >= ZSTD || self.transport.is_podman())
    }

    pub(super) async fn load_archive(
        &self,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), Failure> {
        let movement = Movement::new();
        let sent = movement.clone();
        let archive = archive.inspect_ok(move |_| sent.go_on());
        let call = Call { user: None, body: Some(body_try_stream(archive)) };
        self.follow("load the image archive", "/images/load", call, movement).await
    }

    pub(super) async fn pull_image(&self, image: &ImageRef, user: Option<&Credentials>) -> Result<(), Failure> {
        let (name, tag) = image.name_and_tag();
        // Both are of characters that mean nothing in a URL.
        let path = format!("/images/create?fromImage={name}&tag={tag}");
        let user = credentials::header(image.registry(), user, self.timeout).await?;
        let call = Call { user, body: None };
        self.follow(&format!("pull image `{image}`"), &path, call, Movement::new()).await
    }

    /// Makes a call that answers with its progress, and reads that to its end, however long that takes while there is `movement`.
    async fn follow(&self, what: &str, path: &str, call: Call, movement: Movement) -> Result<(), Failure> {
        self.ask(what, self.transport.agree()).await?;
        movement.go_on();
        let following = async {
            let stream = self.transport.stream(path, call).await?;
            progress::read(stream, self.transport.host(), &movement).await
        };
        movement.watch(self.timeout * STANDSTILL, following).await.map_err(|failure| failure.during(what))
    }
}
