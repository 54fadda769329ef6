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

/// Longer than Podman needs to start what ended by itself: half a second, and more than three on a busy host.
pub const BETWEEN_STARTS: Duration = Duration::from_secs(10);

/// How long ago `time` was; `None` where a clock was set.
fn since(time: Timestamp) -> Option<Duration> {
    Duration::try_from(Timestamp::now().duration_since(time)).ok()
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
        since(self.started_at?)
    }

    /// Whether its limits and its restart policy can be changed as it is. Not every Podman has a call for that, and none has a
    /// daemon whose restart would bring containers back.
    pub fn is_updatable(&self) -> bool {
        !self.podman
    }

    /// Whether its policy may be about to start it again: Podman has no word for that, and says that it has ended.
    pub fn may_be_between_starts(&self) -> bool {
        let restarts = u64::try_from(self.restart_count).unwrap_or_default();
        let may_restart = match self.restart_policy {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure(most) => self.exit_code != 0 && (most == 0 || restarts < most),
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        };
        let has_just_ended = self.finished_at.and_then(since).is_none_or(|ago| ago < BETWEEN_STARTS);
        self.podman && self.status == Status::Exited && restarts > 0 && may_restart && has_just_ended
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::always("always", 1, 0, true)]
    #[case::never_restarted("always", 0, 7, false)]
    #[case::no("no", 1, 7, false)]
    #[case::without_limit("on-failure", 9, 7, true)]
    #[case::once_more("on-failure:3", 2, 7, true)]
    #[case::given_up("on-failure:3", 3, 7, false)]
    #[case::no_failure("on-failure", 1, 0, false)]
    fn podman_may_be_about_to_start_it(
        #[case] policy: &str,
        #[case] restart_count: i64,
        #[case] exit_code: i64,
        #[case] may: bool,
    ) {
        let restart_policy = RestartPolicy::parse(policy).unwrap();
        let ended =
            Observed { status: Status::Exited, restart_policy, restart_count, exit_code, ..Observed::default() };
        assert!(!ended.may_be_between_starts());
        assert_eq!(Observed { podman: true, ..ended }.may_be_between_starts(), may);
    }

    #[rstest]
    #[case::just_now(0, true)]
    #[case::on_a_busy_host(6, true)]
    #[case::for_good(15, false)]
    fn podman_starts_it_again_soon(#[case] seconds: u64, #[case] may: bool) {
        let ended = Observed {
            podman: true,
            status: Status::Exited,
            restart_policy: RestartPolicy::Always,
            restart_count: 1,
            finished_at: Some(Timestamp::now() - Duration::from_secs(seconds)),
            ..Observed::default()
        };
        assert_eq!(ended.may_be_between_starts(), may);
    }
}
