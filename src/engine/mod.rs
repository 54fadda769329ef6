//! The container engine: the trait [`Engine`] has the calls in the domain's types, [`Docker`] is the real one.
//!
//! Each method is one attempt: it is bounded in time and in the size of the answer, says what it was doing when it fails, and
//! never retries. The caller decides whether to retry.
//!
//! Nothing above this folder knows bollard, HTTP or JSON, so that everything above can be tested with an engine in memory.

mod answer;
mod between_starts;
mod body;
mod connection;
mod credentials;
mod docker;
mod endpoints;
mod entries;
mod failure;
#[cfg(test)]
pub mod fake;
#[cfg(test)]
mod fixtures;
mod host;
mod image;
mod info;
mod list;
mod log;
mod mounts;
mod network;
mod program;
mod progress;
mod standstill;
mod successor;
mod translate;
mod transport;

use std::io;

use futures_util::Stream;
use hyper::body::Bytes;

pub use self::docker::Docker;
pub use self::failure::Failure;
pub use self::host::DockerHost;
pub use self::image::LocalImage;
pub use self::info::Info;
use crate::scanner::admission::Neighbour;
use crate::scanner::dependency::Dependency;
use crate::scanner::desired::Desired;
use crate::scanner::observed::{Note, Observed};
use crate::scanner::operation::Update;
use crate::scanner::policy::Credentials;
use crate::scanner::values::compression::Compression;
use crate::scanner::values::image::ImageRef;
use crate::scanner::values::name::Name;

/// A container that has one of the names that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The whole id of the container.
    pub id: String,
    /// The name of the container, without the engine's slash.
    pub name: String,
}

/// A container engine, as far as scanners need one.
pub trait Engine {
    /// Where the engine listens, as `DOCKER_HOST` says it.
    fn docker_host(&self) -> String;

    /// Containers that have a name of one of these scanners: its own, or a replacement's temporary ones. Exactly these names,
    /// never an alias that a link gives.
    async fn containers(&self, names: &[&Name]) -> Result<Vec<Listed>, Failure>;

    /// The container of `id` as it is now; `None` when it is gone. Whatever is secret in it is remembered.
    async fn inspect(&self, id: &str) -> Result<Option<Observed>, Failure>;

    /// The image that `name` means to the engine; `None` when it has none.
    async fn image(&self, name: &str) -> Result<Option<LocalImage>, Failure>;

    /// The digest that the registry has for `image` now; nothing is fetched.
    async fn registry_digest(&self, image: &ImageRef, user: Option<&Credentials>) -> Result<Option<String>, Failure>;

    /// The id of the engine's network that is called exactly `name`; `None` when there is none.
    async fn network(&self, name: &str) -> Result<Option<String>, Failure>;

    /// The properties of the engine and its host.
    async fn info(&self) -> Result<Info, Failure>;

    /// Whether this Podman has the call that changes the limits of a container as it is.
    async fn updates(&self) -> Result<bool, Failure>;

    /// All containers, running or not; scanners among them, whoever made them, as [`Self::inspect`] shows them.
    async fn neighbours(&self) -> Result<Vec<Neighbour>, Failure>;

    /// What each of the containers of `ids` has of others; nothing where it is gone.
    async fn dependencies(&self, ids: &[&str]) -> Result<Vec<Vec<Dependency>>, Failure>;

    /// The last `count` lines that the container of `id` printed, empty ones left out.
    async fn last_lines(&self, id: &str, count: usize) -> Result<Vec<String>, Failure>;

    /// Pulls `image`, however long it takes.
    async fn pull(&self, image: &ImageRef, user: Option<&Credentials>) -> Result<(), Failure>;

    /// Whether the engine takes an image archive of this `compression`, as far as that is known without trying.
    async fn can_load(&self, compression: Compression) -> Result<bool, Failure>;

    /// Loads the images of an archive that comes as a stream of bytes, however long it takes.
    async fn load(&self, archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Result<(), Failure>;

    /// Makes the container of a scanner, not running; its id.
    async fn create(&self, name: &Name, desired: &Desired) -> Result<String, Failure>;

    /// Makes the container that replaces `old`, under its temporary name, not running, with `note` in its labels; its id. It
    /// takes over all that the old one has and the task does not manage. That may be more than one call to the engine: one
    /// that is there after a failure is not whole.
    async fn create_successor(
        &self,
        name: &Name,
        desired: &Desired,
        old: &Observed,
        note: &Note,
    ) -> Result<String, Failure>;

    /// Makes a container, under the temporary name of a successor, that is never started and only carries the labels
    /// of `successor`; its id.
    async fn create_note(&self, name: &Name, successor: &Observed) -> Result<String, Failure>;

    /// Starts the container of `id`; not an error when it runs already.
    async fn start(&self, id: &str) -> Result<(), Failure>;

    /// Stops `container`, giving it `grace` seconds, else its own, else Docker's; not an error when it does not run.
    async fn stop(&self, container: &Observed, grace: Option<i32>) -> Result<(), Failure>;

    /// Stops `container` and starts it again. It is one call, since the engine completes it even when the caller ends in the
    /// middle.
    async fn restart(&self, container: &Observed, grace: Option<i32>) -> Result<(), Failure>;

    /// Connects `container`, which is down, to the network that is called `network` now, as it was connected to an earlier one
    /// of this name.
    async fn reconnect(&self, container: &Observed, network: &str) -> Result<(), Failure>;

    /// Unpauses the container of `id`.
    async fn unpause(&self, id: &str) -> Result<(), Failure>;

    /// Removes the container of `id`, running or not, and its anonymous volumes.
    async fn remove(&self, id: &str) -> Result<(), Failure>;

    /// Removes the volumes of these `names`, but for those that a container has; not an error when there is none.
    async fn remove_volumes(&self, names: &[String]) -> Result<(), Failure>;

    /// Gives the container of `id` another name.
    async fn rename(&self, id: &str, name: &str) -> Result<(), Failure>;

    /// Changes limits or the restart policy of the container of `id` while it runs.
    async fn update(&self, id: &str, update: &Update) -> Result<(), Failure>;
}
