//! The observed state of a container.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::attachment::{self, Attachment};
use super::dependency::Dependency;
use super::values::environment::Environment;
use super::values::limits::ActualLimits;
use super::values::mount::{self, Mount};
use super::values::restart_policy::RestartPolicy;
use super::volume::AnonymousVolume;

/// What the container is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// Never started.
    #[default]
    Created,
    /// Up.
    Running,
    /// Up and frozen.
    Paused,
    /// Ended, and about to be started again by its restart policy.
    Restarting,
    /// The engine is removing it.
    Removing,
    /// Ended.
    Exited,
    /// Could not be removed.
    Dead,
}

impl Status {
    /// Docker's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether a stop has something to do.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// What the labels of a new container say about the old one that it replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The old container.
    pub id: String,
    /// Whether the old one was up.
    pub was_up: bool,
    /// Its restart policy, which is `no` during the replacement.
    pub restart_policy: RestartPolicy,
}

impl Note {
    /// What there is to note about `old` before it is replaced.
    pub fn of(old: &Observed) -> Self {
        Self { id: old.id.clone(), was_up: old.status.is_up(), restart_policy: old.restart_policy }
    }
}

/// One container.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Its whole id.
    pub id: String,
    /// Its name, without the engine's slash.
    pub name: String,
    /// The image as it was named when the container was made.
    pub image: String,
    /// The image's id, with `sha256:`.
    pub image_id: String,
    /// Its status.
    pub status: Status,
    /// When it was last started; `None` before the first start.
    pub started_at: Option<Timestamp>,
    /// When it last ended; `None` before the first end.
    pub finished_at: Option<Timestamp>,
    /// The exit code of its last end.
    pub exit_code: i64,
    /// How often its restart policy started it again.
    pub restart_count: i64,
    /// Memory, swap, CPUs.
    pub limits: ActualLimits,
    /// The whole environment, the image's part included.
    pub env: Environment,
    /// The part that its image brings; `None` when that image is gone.
    pub image_env: Option<Environment>,
    /// The part that the docker command put there from the `proxies` of its configuration, and the task does not name.
    pub client_env: Environment,
    /// Its own mounts.
    pub mounts: Vec<Mount>,
    /// The mounts that it has from others (`--volumes-from`), where it is no scanner in its own right.
    pub borrowed: Vec<Mount>,
    /// Its anonymous volumes.
    pub volumes: Vec<AnonymousVolume>,
    /// The names of anonymous volumes that came from the containers that it and its predecessors replaced, and go with it.
    pub noted_volumes: Vec<String>,
    /// Its restart policy.
    pub restart_policy: RestartPolicy,
    /// Whether it is privileged.
    pub privileged: bool,
    /// Its networks.
    pub network: Attachment,
    /// What it has of other containers.
    pub dependencies: Vec<Dependency>,
    /// All labels, the image's included.
    pub labels: BTreeMap<String, String>,
    /// Whether the engine removes it when it stops (`--rm`).
    pub auto_remove: bool,
    /// Its own grace between SIGTERM and SIGKILL, in seconds.
    pub stop_timeout: Option<i64>,
    /// Set on the new container of a replacement.
    pub replaces: Option<Note>,
    /// Whether the engine is Podman, which reports some things in its own way.
    pub podman: bool,
}

impl Observed {
    /// The mount at `destination`.
    pub fn mount(&self, destination: &str) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.destination == destination)
    }

    /// How long ago it was last started; `None` before that, or where a clock was set.
    pub fn age(&self) -> Option<Duration> {
        Duration::try_from(Timestamp::now().duration_since(self.started_at?)).ok()
    }

    /// Whether its limits and its restart policy can be changed as it is. Not every Podman has a call for that, and none has a
    /// daemon whose restart would bring containers back.
    pub fn is_updatable(&self) -> bool {
        !self.podman
    }

    /// Whether it is attached to what an engine or a user calls `network`.
    pub fn is_on(&self, network: &str) -> bool {
        let is_default = network == "default" || (self.podman && network == attachment::PODMANS_DEFAULT);
        self.network.is_on(if is_default { attachment::DEFAULT } else { network })
    }

    /// Whether this is a scanner, whoever made it: it has one of its mounts, or a personalization code.
    pub fn is_scanner(&self) -> bool {
        self.mount(mount::PRIVATE).is_some()
            || self.mount(mount::SHARED).is_some()
            || self.env.value(super::values::environment::CODE).is_some()
    }
}
