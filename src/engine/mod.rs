//! The seam to the Docker engine: bollard on the one side, the domain's words on the other.
//!
//! Nothing above this folder knows bollard. Every call is bounded in time, says what it was doing when it fails, and never
//! lets an answer's text through that the engine did not mean as a message.

mod body;
mod failure;
#[cfg(test)]
mod fixtures;
mod host;
mod image;
mod info;
mod log;
mod neighbours;
mod network;
mod translate;
mod transport;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, NetworkConnectRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
    RestartContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use serde::de::DeserializeOwned;

pub use self::failure::Failure;
pub use self::host::DockerHost;
pub use self::image::LocalImage;
pub use self::info::Info;
use self::transport::Transport;
use crate::error::Result;
use crate::scanner::desired::Desired;
use crate::scanner::environment::Environment;
use crate::scanner::name::Name;
use crate::scanner::observed::Observed;
use crate::scanner::restart_policy::RestartPolicy;
use crate::scanner::step::Update;

/// Docker's own grace between SIGTERM and SIGKILL, in seconds.
const STOP_TIMEOUT: u32 = 10;

/// How often is tried what an engine refuses for a container that ends by itself just then, as a flapping one does.
const TRIES: u32 = 5;
/// Between two looks at a container that is on its way out.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection to an engine, at the API version that both sides know.
#[derive(Debug)]
pub struct Engine {
    docker: Docker,
    transport: Transport,
    host: DockerHost,
    timeout: Duration,
    /// By image id, what it brings to the environment of its containers; `None` where the image is gone.
    brought: RefCell<HashMap<String, Option<Environment>>>,
}

impl Engine {
    /// Connects to `host`; `timeout` bounds each call but those that take as long as they take (pull, load, stop).
    ///
    /// # Errors
    /// When nothing there speaks the Docker API, or the user may not talk to it.
    pub async fn connect(host: DockerHost, timeout: Duration) -> Result<Self> {
        let transport = Transport::new(&host);
        let docker = tokio::time::timeout(timeout, transport.bollard())
            .await
            .unwrap_or(Err(Failure::TimedOut(timeout)))
            .map_err(|failure| failure.on_connect(&host))?;
        Ok(Self { docker, transport, host, timeout, brought: RefCell::default() })
    }

    /// Where the engine listens.
    #[must_use]
    pub const fn host(&self) -> &DockerHost {
        &self.host
    }

    async fn call<T>(
        &self,
        what: &str,
        future: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, Failure> {
        self.call_within(self.timeout, what, future).await
    }

    async fn call_within<T>(
        &self,
        limit: Duration,
        what: &str,
        future: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(limit, future).await {
            Ok(answer) => answer.map_err(|error| Failure::new(&error).during(what)),
            Err(_) => Err(Failure::TimedOut(limit).during(what)),
        }
    }

    async fn get<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, self.transport.get(self.docker.client_version(), path)).await {
            Ok(answer) => answer.map_err(|failure| failure.during(what)),
            Err(_) => Err(Failure::TimedOut(self.timeout).during(what)),
        }
    }

    /// The container of this name or id.
    async fn inspect(&self, name: &str) -> Result<Option<Container>, Failure> {
        let what = format!("inspect container `{name}`");
        match self.call(&what, self.docker.inspect_container(name, None)).await {
            Ok(inspected) => Ok(Some(Container { inspected, podman: self.transport.is_podman() })),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The container called exactly `name`, as it is now; the engine itself would also take the beginning of an id for a name.
    ///
    /// # Errors
    /// When the engine does not answer properly.
    pub async fn named(&self, name: &str) -> Result<Option<Observed>, Failure> {
        let is_called =
            |found: &Container| found.inspected.name.as_deref().map(|name| name.trim_start_matches('/')) == Some(name);
        match self.inspect(name).await?.filter(is_called) {
            Some(container) => self.observe(&container).await.map(Some),
            None => Ok(None),
        }
    }

    /// The container of `id` as it is now.
    ///
    /// # Errors
    /// When the engine does not answer properly.
    pub async fn look_at(&self, id: &str) -> Result<Option<Observed>, Failure> {
        match self.inspect(id).await? {
            Some(container) => self.observe(&container).await.map(Some),
            None => Ok(None),
        }
    }

    /// Makes the container of a scanner, not running; its id.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn create(&self, name: &Name, desired: &Desired) -> Result<String, Failure> {
        self.create_container(name.as_str(), body::fresh(desired)).await
    }

    /// Makes the container that shall replace `old`, under its temporary name and not running, with all that the old one
    /// has and the task does not manage; its id.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn create_successor(&self, name: &Name, desired: &Desired, old: &Observed) -> Result<String, Failure> {
        let Some(container) = self.inspect(&old.id).await? else {
            return Err(Failure::NotFound(format!("the scanner is gone: `{name}`")).during("replace the scanner"));
        };
        let image = self.image(&container.image_id()).await?;
        let successor = body::successor(desired, old, &container.inspected, image.as_ref().map(|image| &image.config));
        let id = self.create_container(&name.incoming(), successor.body).await?;
        for (network, endpoint) in successor.further_networks {
            let request = NetworkConnectRequest { container: id.clone(), endpoint_config: Some(endpoint) };
            self.call("connect the scanner to its other networks", self.docker.connect_network(&network, request))
                .await?;
        }
        Ok(id)
    }

    async fn create_container(&self, name: &str, body: ContainerCreateBody) -> Result<String, Failure> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let what = format!("create container `{name}`");
        Ok(self.call(&what, self.docker.create_container(Some(options), body)).await?.id)
    }

    /// Starts the container of `id`; fine when it runs already.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn start(&self, id: &str) -> Result<(), Failure> {
        self.call("start the scanner", self.docker.start_container(id, None)).await
    }

    /// Thaws the container of `id`.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn unpause(&self, id: &str) -> Result<(), Failure> {
        self.call("unpause the scanner", self.docker.unpause_container(id)).await
    }

    /// Stops `container`, giving it `grace` seconds, else its own, else Docker's; fine when it is stopped or gone.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn stop(&self, container: &Observed, grace: Option<i32>) -> Result<(), Failure> {
        let mut options = StopContainerOptionsBuilder::default();
        if let Some(grace) = grace {
            options = options.t(grace);
        }
        let stopping = self.docker.stop_container(&container.id, Some(options.build()));
        match self.call_within(self.with_grace(container, grace), "stop the scanner", stopping).await {
            Err(failure) if failure.is_not_found() => Ok(()),
            answer => answer,
        }
    }

    /// Stops `container` like [`Self::stop`], and makes sure that it does not run any more.
    ///
    /// # Errors
    /// When the engine cannot, or something keeps it running.
    pub async fn end(&self, container: &Observed, grace: Option<i32>) -> Result<(), Failure> {
        self.stop(container, grace).await?;
        match self.look_at(&container.id).await? {
            Some(seen) if seen.status.is_up() => {
                Err(Failure::Conflict("it still runs, or was started again".to_owned()).during("stop the scanner"))
            }
            _ => Ok(()),
        }
    }

    /// Stops `container` and starts it again. That is one call, since the engine goes through with it even when the caller
    /// ends in the middle.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn restart(&self, container: &Observed, grace: Option<i32>) -> Result<(), Failure> {
        let mut options = RestartContainerOptionsBuilder::default();
        if let Some(grace) = grace {
            options = options.t(grace);
        }
        let restarting = self.docker.restart_container(&container.id, Some(options.build()));
        self.call_within(self.with_grace(container, grace), "restart the scanner", restarting).await
    }

    /// How long a stop may take.
    fn with_grace(&self, container: &Observed, grace: Option<i32>) -> Duration {
        let own = container.stop_timeout.and_then(|seconds| u32::try_from(seconds).ok());
        let seconds = grace.and_then(|grace| u32::try_from(grace).ok()).or(own).unwrap_or(STOP_TIMEOUT);
        self.timeout + Duration::from_secs(u64::from(seconds))
    }

    /// Removes the container of `id` and its anonymous volumes; fine when it is gone.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn remove(&self, id: &str) -> Result<(), Failure> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let removing = self.docker.remove_container(id, Some(options.clone()));
            match self.call("remove the container", removing).await {
                // Taken at its word only when it is really gone: nothing else would ever come back for it.
                Err(failure) if failure.is_not_found() => {
                    return if self.look_at(id).await?.is_some() { Err(failure) } else { Ok(()) };
                }
                // One that was run with --rm is removed by the engine as soon as it is stopped.
                Err(failure) if failure.is_removal_in_progress() => return self.gone(id).await,
                // It ended by itself just when it was to be killed.
                Err(failure) if failure.is_conflict() && tries > 0 => tokio::time::sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    /// Waits until the engine has removed the container of `id`.
    ///
    /// # Errors
    /// When it does not answer properly, or the container is still there after the time that a call may take.
    pub async fn gone(&self, id: &str) -> Result<(), Failure> {
        let waiting = async {
            while self.inspect(id).await?.is_some() {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        };
        let late = |_| Err(Failure::TimedOut(self.timeout).during("remove the container"));
        tokio::time::timeout(self.timeout, waiting).await.unwrap_or_else(late)
    }

    /// Gives the container of `id` another name.
    ///
    /// # Errors
    /// When the name is taken, or the engine cannot.
    pub async fn rename(&self, id: &str, name: &str) -> Result<(), Failure> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        self.call(&format!("rename the container to `{name}`"), self.docker.rename_container(id, options)).await
    }

    /// Changes limits or the restart policy of the container of `id` while it runs.
    ///
    /// # Errors
    /// When the engine refuses, for example memory below what is in use.
    pub async fn update(&self, id: &str, update: &Update) -> Result<(), Failure> {
        self.call("update the scanner", self.docker.update_container(id, body::update(update))).await
    }

    /// Changes the restart policy alone.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn set_restart_policy(&self, id: &str, policy: RestartPolicy) -> Result<(), Failure> {
        let update = Update { restart_policy: Some(policy), ..Update::default() };
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.update(id, &update).await {
                // "cannot update a stopped container", which the engine would not say of one that it knows to be stopped.
                Err(failure) if failure.is_refusal() && !failure.is_not_found() && tries > 0 => {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}

/// A container as the engine describes it.
#[derive(Debug)]
struct Container {
    inspected: ContainerInspectResponse,
    podman: bool,
}
