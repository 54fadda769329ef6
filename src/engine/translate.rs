//! From the engine's JSON of a container to the domain's types.

use std::collections::BTreeMap;

use bollard::models::{RestartPolicy as ApiPolicy, RestartPolicyNameEnum};
use jiff::Timestamp;

use super::answer::{Container, HostConfig, RestartPolicy as Policy, State};
use super::mounts::noted_volumes;
use crate::scanner::attachment::{Attachment, DEFAULT, OF_NONE, PODMANS_DEFAULT};
use crate::scanner::dependency::{Dependency, Sharing};
use crate::scanner::observed::{Note, Observed, Status};
use crate::scanner::values::environment::{self, Environment};
use crate::scanner::values::image::Brought;
use crate::scanner::values::limits::{ActualLimits, GivenCpus, MemorySwap};
use crate::scanner::values::mount::{self, Mount};
use crate::scanner::values::proxy::remember_credentials;
use crate::scanner::values::restart_policy::RestartPolicy;
use crate::secret;

/// A label of a new container: the id of the container that it replaces.
pub const REPLACES: &str = "qcss_scanner.replaces";
/// A label of a new container: whether the old one was up, `true` or `false`.
pub const WAS_UP: &str = "qcss_scanner.was_up";
/// A label of a new container: the old one's restart policy.
pub const RESTART_POLICY: &str = "qcss_scanner.restart_policy";
/// All labels that a replacement adds to what is noted about the old container.
pub const NOTE: &[&str] = &[REPLACES, WAS_UP, RESTART_POLICY];

/// The mode of a container that has the host's network.
const HOST: &str = "host";
/// The mode of a container that has no network, and the name of its network.
const NONE: &str = "none";

impl Container {
    /// The image's id, with `sha256:` (which Podman leaves out).
    pub fn image_id(&self) -> String {
        with_algorithm(self.inspected.image.as_deref().unwrap_or_default())
    }

    /// The observed container; `image` is what its image brings. Its secrets are remembered for the masking pass.
    pub fn observe(&self, image: Option<Brought>) -> Observed {
        let inspected = &self.inspected;
        let config = inspected.config.as_ref();
        let host_config = inspected.host_config.as_ref();
        let state = inspected.state.as_ref();
        let labels = config.and_then(|config| config.labels.clone()).unwrap_or_default();
        let env = Environment::from_entries(config.and_then(|config| config.env.as_ref()).into_iter().flatten());
        let (mounts, borrowed) = self.mounts(env.value(environment::CODE).is_some());
        let observed = Observed {
            id: inspected.id.clone().unwrap_or_default(),
            name: inspected.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned(),
            image: config.and_then(|config| config.image.clone()).unwrap_or_default(),
            image_id: self.image_id(),
            status: state.map_or(Status::Created, status),
            started_at: state.and_then(|state| state.started_at.as_deref()).and_then(time),
            finished_at: state.and_then(|state| state.finished_at.as_deref()).and_then(time),
            exit_code: state.and_then(|state| state.exit_code).unwrap_or_default(),
            restart_count: inspected.restart_count.unwrap_or_default(),
            limits: host_config.map(limits).unwrap_or_default(),
            env,
            volumes: self.volumes(image.as_ref().map(|image| &image.volumes)),
            noted_volumes: noted_volumes(&labels),
            image_env: image.map(|image| image.env),
            client_env: Environment::default(), // known where the task is
            mounts,
            borrowed,
            restart_policy: host_config
                .and_then(|config| config.restart_policy.as_ref())
                .map_or(RestartPolicy::No, restart_policy),
            privileged: host_config.and_then(|config| config.privileged).unwrap_or_default(),
            network: self.attachment(),
            dependencies: host_config.map(dependencies).unwrap_or_default(),
            replaces: replaces(&labels),
            labels,
            auto_remove: host_config.and_then(|config| config.auto_remove).unwrap_or_default(),
            stop_timeout: config.and_then(|config| config.stop_timeout),
            podman: self.podman,
        };
        remember_secrets(&observed);
        observed
    }

    /// The networks that it is attached to, and the one that it was made on. Docker may have noted that one by its id, Podman
    /// notes only its kind.
    fn attachment(&self) -> Attachment {
        let networks: BTreeMap<_, _> = self.networks().collect();
        let host_config = self.inspected.host_config.as_ref();
        let mode = host_config.and_then(|config| config.network_mode.as_deref()).unwrap_or_default();
        let is_disabled = self.inspected.config.as_ref().and_then(|config| config.network_disabled) == Some(true);
        let is_default = ["", "default", DEFAULT].contains(&mode);
        let made_on = match mode {
            // An engine without a default network.
            _ if is_default && networks.contains_key(NONE) => NONE,
            _ if is_default && self.podman => {
                let first = networks.keys().min_by_key(|name| (*name != DEFAULT, *name));
                first.map_or(DEFAULT, String::as_str)
            }
            _ if is_default => DEFAULT,
            mode if networks.contains_key(mode) => mode,
            mode => networks.iter().find(|(_, id)| id.starts_with(mode)).map_or(mode, |(name, _)| name),
        };
        let of_its_own = if self.podman { is_default } else { !is_without_own_network(mode) };
        // What an engine does not say is not taken for none.
        let is_said = self.inspected.network_settings.as_ref().is_some_and(|settings| settings.networks.is_some());
        let is_detachable = of_its_own && !is_disabled && made_on != NONE && is_said;
        Attachment { made_on: made_on.to_owned(), is_detachable, networks }
    }

    /// The networks by name, with the id that the container notes; the default network of every engine is called `bridge`.
    fn networks(&self) -> impl Iterator<Item = (String, String)> {
        let networks = self.inspected.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
        networks.into_iter().flatten().filter(|(name, _)| !self.podman || *name != OF_NONE).map(|(name, endpoint)| {
            let name = if self.podman && name == PODMANS_DEFAULT { DEFAULT } else { name };
            let id = endpoint.as_ref().and_then(|endpoint| endpoint.network_id.clone());
            (name.to_owned(), id.unwrap_or_default())
        })
    }
}

/// What a container has of others.
pub fn dependencies(config: &HostConfig) -> Vec<Dependency> {
    let of = |sharing, other: &str| Dependency { sharing, other: other.trim_start_matches('/').to_owned() };
    let modes =
        [(Sharing::Network, &config.network_mode), (Sharing::Ipc, &config.ipc_mode), (Sharing::Pid, &config.pid_mode)];
    let shared = modes.into_iter().filter_map(|(sharing, mode)| {
        mode.as_ref().and_then(|mode| mode.strip_prefix("container:")).map(|other| of(sharing, other))
    });
    let first = |text: &'_ String| text.split(':').next().unwrap_or_default().to_owned();
    let volumes = config.volumes_from.iter().flatten().map(|from| of(Sharing::Volumes, &first(from)));
    let links = config.links.iter().flatten().map(|link| of(Sharing::Link, &first(link)));
    shared.chain(volumes).chain(links).collect()
}

/// Whether a container of this `mode` cannot be connected to a network, and so not be disconnected from one.
fn is_without_own_network(mode: &str) -> bool {
    [HOST, NONE].contains(&mode) || mode.starts_with("container:")
}

/// `id` with the `sha256:` that Podman leaves out.
pub fn with_algorithm(id: &str) -> String {
    if id.is_empty() || id.contains(':') { id.to_owned() } else { format!("sha256:{id}") }
}

/// A restart policy as the engine takes it in an update.
pub fn to_api_policy(policy: RestartPolicy) -> ApiPolicy {
    let (name, count) = match policy {
        RestartPolicy::No => (RestartPolicyNameEnum::NO, 0),
        RestartPolicy::OnFailure(count) => (RestartPolicyNameEnum::ON_FAILURE, count),
        RestartPolicy::Always => (RestartPolicyNameEnum::ALWAYS, 0),
        RestartPolicy::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, 0),
    };
    ApiPolicy { name: Some(name), maximum_retry_count: (count > 0).then(|| super::body::to_api(count)) }
}

/// The engine's time; before its first start a container has one of the year 1.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

fn status(state: &State) -> Status {
    // A flapping container is both running and restarting for some engines.
    if state.restarting == Some(true) {
        return Status::Restarting;
    }
    match state.status.as_deref().unwrap_or_default() {
        // It has not ended yet.
        "running" | "stopping" => Status::Running,
        "paused" => Status::Paused,
        "restarting" => Status::Restarting,
        "removing" => Status::Removing,
        // Podman: ended, and not yet cleaned up.
        "exited" | "stopped" => Status::Exited,
        "dead" => Status::Dead,
        _ if state.paused == Some(true) => Status::Paused,
        _ if state.running == Some(true) => Status::Running,
        // Podman: made, and configured or not.
        "created" | "initialized" | "configured" | "" => Status::Created,
        _ => Status::Exited,
    }
}

fn limits(config: &HostConfig) -> ActualLimits {
    let positive = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
    let memory = positive(config.memory);
    let memory_swap = memory.map(|memory| match config.memory_swap {
        Some(swap) if swap < 0 => MemorySwap::Unlimited,
        swap => MemorySwap::Bytes(positive(swap).unwrap_or(memory.saturating_mul(2))),
    });
    let given = GivenCpus {
        nano: positive(config.nano_cpus).unwrap_or_default(),
        quota: config.cpu_quota.unwrap_or_default(),
        period: positive(config.cpu_period).unwrap_or_default(),
    };
    let memory_reservation = positive(config.memory_reservation);
    ActualLimits { memory, memory_swap, memory_reservation, ..ActualLimits::default() }.with_cpus(given)
}

fn restart_policy(policy: &Policy) -> RestartPolicy {
    match policy.name.as_deref() {
        Some("always") => RestartPolicy::Always,
        Some("unless-stopped") => RestartPolicy::UnlessStopped,
        Some("on-failure") => {
            let count = policy.maximum_retry_count.and_then(|count| u64::try_from(count).ok());
            RestartPolicy::OnFailure(count.unwrap_or_default())
        }
        _ => RestartPolicy::No,
    }
}

fn replaces(labels: &BTreeMap<String, String>) -> Option<Note> {
    Some(Note {
        id: labels.get(REPLACES)?.clone(),
        was_up: labels.get(WAS_UP).is_some_and(|was_up| was_up == "true"),
        restart_policy: labels
            .get(RESTART_POLICY)
            .and_then(|text| RestartPolicy::parse(text).ok())
            .unwrap_or(RestartPolicy::No),
    })
}

fn remember_secrets(observed: &Observed) {
    let env = if observed.podman { &observed.env.without_podmans(&Environment::default()) } else { &observed.env };
    env.secrets(observed.image_env.as_ref()).for_each(secret::remember_value);
    if let Some(code) = observed.env.value(environment::CODE) {
        secret::remember(code);
    }
    if let Some(proxy) = observed.env.value(environment::PROXY) {
        secret::remember(proxy);
        remember_credentials(proxy);
    }
    if let Some(url) = observed.env.value(environment::URL) {
        secret::remember_passwords(url);
    }
    secret::publish_name(&observed.name);
    if let Some(mount) = observed.mount(mount::PRIVATE) {
        remember_code_in(mount);
    }
}

/// The private directory has a code as its name, maybe another than the container's environment has.
fn remember_code_in(mount: &Mount) {
    let name = mount.source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    secret::remember(name);
}

#[cfg(test)]
mod tests;
