//! The real engine, Docker or Podman, behind its socket.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::time::Duration;

use bollard::query_parameters::{
    RemoveContainerOptionsBuilder, RemoveVolumeOptions, RestartContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use futures_util::Stream;
use futures_util::future::LocalBoxFuture;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Container, Inspected};
use super::body::Fields;
use super::endpoints::endpoint;
use super::successor::OnEngine;
use super::translate::{dependencies, with_algorithm};
use super::transport::{Transport, read};
use super::{DockerHost, Engine, Failure, Info, Listed, LocalImage, body, successor};
use crate::scanner::admission::Neighbour;
use crate::scanner::dependency::Dependency;
use crate::scanner::desired::Desired;
use crate::scanner::observed::{Note, Observed, Status};
use crate::scanner::operation::Update;
use crate::scanner::policy::Credentials;
use crate::scanner::values::compression::Compression;
use crate::scanner::values::image::{Brought, ImageRef};
use crate::scanner::values::name::Name;

/// Docker's own grace between SIGTERM and SIGKILL, in seconds.
const STOP_TIMEOUT: u32 = 10;

/// An engine behind a socket; nothing is sent until the first call.
#[derive(Debug)]
pub struct Docker {
    pub(super) transport: Transport,
    pub(super) timeout: Duration,
    /// By image id, what its containers get from it; `None` where the image is gone.
    pub(super) brought: RefCell<HashMap<String, Option<Brought>>>,
    /// The engine's `/info`, which does not change during a run.
    info: RefCell<Option<Info>>,
}

impl Docker {
    /// The engine at `host`; `timeout` bounds each request other than a pull, a load or a stop.
    pub fn new(host: DockerHost, timeout: Duration) -> Self {
        Self { transport: Transport::new(host), timeout, brought: RefCell::default(), info: RefCell::default() }
    }

    /// The answer to `request`, within `timeout`; `what` names it in the error.
    pub(super) async fn ask<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.ask_within(self.timeout, what, Box::pin(request)).await
    }

    /// Of a boxed request, or the binary would have this once for each.
    async fn ask_within<T>(
        &self,
        limit: Duration,
        what: &str,
        request: LocalBoxFuture<'_, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let answer = tokio::time::timeout(limit, request).await;
        answer.unwrap_or(Err(Failure::TimedOut(limit))).map_err(|failure| self.failed(what, failure))
    }

    fn failed(&self, what: &str, failure: Failure) -> Failure {
        let host = || self.transport.host().clone();
        // While no engine has answered, the name of the call does not help the user.
        match failure {
            failure if self.transport.is_agreed() => failure.during(what),
            Failure::TimedOut(_) => Failure::Silent(host()),
            Failure::Lost | Failure::Garbled | Failure::TooLarge => Failure::NotAnEngine(host()),
            failure => failure,
        }
    }

    /// The answer to a request that `make` makes with bollard.
    pub(super) async fn call<T>(
        &self,
        limit: Duration,
        what: &str,
        make: impl AsyncFnOnce(bollard::Docker) -> Result<T, bollard::errors::Error>,
    ) -> Result<T, Failure> {
        let request = async {
            let bollard = self.transport.bollard().await?;
            make(bollard).await.map_err(|error| Failure::new(&error, self.transport.host()))
        };
        self.ask_within(limit, what, Box::pin(request)).await
    }

    async fn create_container(&self, name: &str, body: &Value) -> Result<String, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created {
            id: String,
        }
        let path = format!("/containers/create?name={name}");
        let what = format!("create container `{name}`");
        let answer = self.tell(&what, &path, body).await?;
        Ok(read::<Created>(&answer).map_err(|failure| self.failed(&what, failure))?.id)
    }

    /// What the engine answers to `body` at `POST path`: nothing, JSON, or `OK` of Podman. Boxed, or the binary would have it
    /// once for each call.
    pub(super) fn tell<'a>(
        &'a self,
        what: &'a str,
        path: &'a str,
        body: &'a Value,
    ) -> LocalBoxFuture<'a, Result<Bytes, Failure>> {
        Box::pin(self.ask(what, self.transport.post(path, body)))
    }

    async fn connect(&self, id: &str, network: &str, endpoint: Fields) -> Result<(), Failure> {
        let body = json!({"Container": id, "EndpointConfig": endpoint});
        let path = format!("/networks/{network}/connect");
        self.tell(&format!("connect the scanner to network `{network}`"), &path, &body).await?;
        Ok(())
    }

    /// What `looking` at any number of containers comes to, in the time of one call for all of them.
    async fn look_at_all<T>(&self, looking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let looked = tokio::time::timeout(self.timeout, looking).await;
        looked.unwrap_or_else(|_| Err(Failure::TimedOut(self.timeout).during("look at all containers of the engine")))
    }

    /// All fields of the container `id`; `None`: it is gone.
    async fn inspect_raw(&self, id: &str) -> Result<Option<Value>, Failure> {
        self.inspect_at(id, &format!("/containers/{id}/json")).await
    }

    /// What the engine has at `path` about the container `id`; `None`: it is gone.
    pub(super) async fn inspect_at(&self, id: &str, path: &str) -> Result<Option<Value>, Failure> {
        there(self.ask(&format!("inspect container `{id}`"), self.transport.get(path)).await)
    }

    pub(super) async fn inspect_container(&self, id: &str) -> Result<Option<Container>, Failure> {
        let path = format!("/containers/{id}/json");
        let inspected: Result<Inspected, _> =
            self.ask(&format!("inspect container `{id}`"), self.transport.get(&path)).await;
        Ok(there(inspected)?.map(|inspected| Container { inspected, podman: self.transport.is_podman() }))
    }

    /// `container` in the domain's types. Looks up its image, unless that is known: variables that come from the image are not
    /// secrets, and masking them would make messages unreadable. Boxed, or the binary would have it once for each call.
    pub(super) fn observe<'a>(&'a self, container: &'a Container) -> LocalBoxFuture<'a, Result<Observed, Failure>> {
        Box::pin(async move {
            let id = container.image_id();
            if !self.brought.borrow().contains_key(&id) {
                let brought = self.image(&id).await?.map(|image| image.brought);
                self.brought.borrow_mut().insert(id.clone(), brought);
            }
            let brought = self.brought.borrow().get(&id).cloned().flatten();
            let mut observed = container.observe(brought);
            observed.status = self.dockers_status(&observed).await?;
            Ok(observed)
        })
    }

    /// How long a stop may take.
    fn with_grace(&self, container: &Observed, grace: Option<i32>) -> Duration {
        let own = container.stop_timeout.and_then(|seconds| u32::try_from(seconds).ok());
        let seconds = grace.and_then(|grace| u32::try_from(grace).ok()).or(own).unwrap_or(STOP_TIMEOUT);
        self.timeout + Duration::from_secs(u64::from(seconds))
    }
}

impl Engine for Docker {
    fn docker_host(&self) -> String {
        self.transport.host().to_string()
    }

    async fn containers(&self, names: &[&Name]) -> Result<Vec<Listed>, Failure> {
        self.list_named(names).await
    }

    async fn inspect(&self, id: &str) -> Result<Option<Observed>, Failure> {
        match self.inspect_container(id).await? {
            Some(container) => self.observe(&container).await.map(Some),
            None => Ok(None),
        }
    }

    async fn image(&self, name: &str) -> Result<Option<LocalImage>, Failure> {
        self.look_up_image(name).await
    }

    async fn registry_digest(&self, image: &ImageRef, user: Option<&Credentials>) -> Result<Option<String>, Failure> {
        self.ask_registry(image, user).await
    }

    async fn network(&self, name: &str) -> Result<Option<String>, Failure> {
        self.network_id(name).await
    }

    async fn info(&self) -> Result<Info, Failure> {
        if let Some(info) = self.info.borrow().clone() {
            return Ok(info);
        }
        let info = self.read_info().await?;
        *self.info.borrow_mut() = Some(info.clone());
        Ok(info)
    }

    async fn updates(&self) -> Result<bool, Failure> {
        self.has_update().await
    }

    async fn neighbours(&self) -> Result<Vec<Neighbour>, Failure> {
        self.look_at_all(self.list_neighbours()).await
    }

    async fn dependencies(&self, ids: &[&str]) -> Result<Vec<Vec<Dependency>>, Failure> {
        let looking = async {
            let mut all = Vec::with_capacity(ids.len());
            for id in ids {
                let container = self.inspect_container(id).await?;
                let host_config = container.as_ref().and_then(|it| it.inspected.host_config.as_ref());
                all.push(host_config.map(dependencies).unwrap_or_default());
            }
            Ok(all)
        };
        self.look_at_all(looking).await
    }

    async fn last_lines(&self, id: &str, count: usize) -> Result<Vec<String>, Failure> {
        self.read_log(self.timeout, id, count).await
    }

    async fn pull(&self, image: &ImageRef, user: Option<&Credentials>) -> Result<(), Failure> {
        self.pull_image(image, user).await
    }

    async fn can_load(&self, compression: Compression) -> Result<bool, Failure> {
        Ok(compression != Compression::Zstd || self.takes_zstd().await?)
    }

    async fn load(&self, archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Result<(), Failure> {
        self.load_archive(archive).await
    }

    async fn create(&self, name: &Name, desired: &Desired) -> Result<String, Failure> {
        self.create_container(name.as_str(), &body::fresh(desired, self.transport.is_podman())).await
    }

    async fn create_successor(
        &self,
        name: &Name,
        desired: &Desired,
        old: &Observed,
        note: &Note,
    ) -> Result<String, Failure> {
        let Some(inspected) = self.inspect_raw(&old.id).await? else {
            return Err(gone(name.as_str()).during("replace the scanner"));
        };
        let image = inspected.get("Image").and_then(Value::as_str).unwrap_or_default();
        let image = self.image_config(&with_algorithm(image)).await?;
        let made_on = &old.network.made_on;
        let made_on_is_gone = old.network.is_off_its_own() && self.network_id(made_on).await?.is_none();
        let new_image = self.look_up_image(desired.image.as_str()).await?.map(|image| image.brought.volumes);
        let engine = OnEngine {
            host_name: &self.info().await?.host_name,
            made_on_is_gone,
            volumes: &new_image.unwrap_or_default(),
        };
        let successor = successor::successor(desired, old, note, &inspected, image.as_ref(), engine);
        let id = self.create_container(&name.incoming(), &successor.body).await?;
        for (network, endpoint) in successor.further_networks {
            self.connect(&id, &network, endpoint).await?;
        }
        if let Some(network) = successor.left_network {
            let body = json!({"Container": id});
            let path = format!("/networks/{network}/disconnect");
            self.tell(&format!("disconnect the scanner from network `{network}`"), &path, &body).await?;
        }
        Ok(id)
    }

    async fn create_note(&self, name: &Name, successor: &Observed) -> Result<String, Failure> {
        self.create_container(&name.incoming(), &body::note(successor)).await
    }

    async fn start(&self, id: &str) -> Result<(), Failure> {
        self.call(self.timeout, "start the scanner", async |docker| docker.start_container(id, None).await).await
    }

    async fn stop(&self, container: &Observed, grace: Option<i32>) -> Result<(), Failure> {
        let mut options = StopContainerOptionsBuilder::default();
        if let Some(grace) = grace {
            options = options.t(grace);
        }
        // Podman refuses to stop what is paused. If it is paused no longer, so much the better.
        if container.status == Status::Paused && self.transport.is_podman() {
            let _ = self.unpause(&container.id).await;
        }
        self.call(self.with_grace(container, grace), "stop the scanner", async |docker| {
            docker.stop_container(&container.id, Some(options.build())).await
        })
        .await
    }

    async fn restart(&self, container: &Observed, grace: Option<i32>) -> Result<(), Failure> {
        let mut options = RestartContainerOptionsBuilder::default();
        if let Some(grace) = grace {
            options = options.t(grace);
        }
        self.call(self.with_grace(container, grace), "restart the scanner", async |docker| {
            docker.restart_container(&container.id, Some(options.build())).await
        })
        .await
    }

    async fn reconnect(&self, container: &Observed, network: &str) -> Result<(), Failure> {
        let Some(inspected) = self.inspect_raw(&container.id).await? else { return Err(gone(&container.name)) };
        self.connect(&container.id, network, endpoint(&inspected, container, network)).await
    }

    async fn unpause(&self, id: &str) -> Result<(), Failure> {
        self.tell("unpause the scanner", &format!("/containers/{id}/unpause"), &Value::Null).await?;
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), Failure> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        self.call(self.timeout, "remove the container", async |docker| docker.remove_container(id, Some(options)).await)
            .await
    }

    async fn remove_volumes(&self, names: &[String]) -> Result<(), Failure> {
        for name in names {
            let what = format!("remove volume `{name}`");
            let removing = self
                .call(self.timeout, &what, async |docker| docker.remove_volume(name, None::<RemoveVolumeOptions>).await)
                .await;
            match removing {
                // Somebody else has it, or has removed it.
                Err(failure) if failure.is_not_found() || failure.is_conflict() => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    async fn rename(&self, id: &str, name: &str) -> Result<(), Failure> {
        let path = format!("/containers/{id}/rename?name={name}");
        self.tell(&format!("rename the container to `{name}`"), &path, &Value::Null).await?;
        Ok(())
    }

    async fn update(&self, id: &str, update: &Update) -> Result<(), Failure> {
        self.call(self.timeout, "update the scanner", async |docker| {
            docker.update_container(id, body::update(update)).await
        })
        .await
    }
}

fn gone(name: &str) -> Failure {
    Failure::NotFound(format!("the scanner is gone; run the task again: `{name}`"))
}

/// `None` where a container is gone; Podman answers 500 for one that goes at that moment.
fn there<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => match failure.root() {
            Failure::Refused { status: 500, message } if message.to_lowercase().contains("no such container") => {
                Ok(None)
            }
            _ => Err(failure),
        },
    }
}
