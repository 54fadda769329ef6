//! What the engine is told when a container is made or updated.
//!
//! A successor takes over everything that its predecessor has and the task does not manage. What the predecessor had from
//! its image is left out: the new image brings its own.

use std::collections::{HashMap, HashSet};

use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, ContainerUpdateBody, EndpointSettings, HostConfig,
    ImageConfig, MountType, NetworkingConfig,
};

use super::translate::{PODMANS_DEFAULT, REPLACES, RESTART_POLICY, WAS_UP, to_api_policy};
use crate::scanner::desired::Desired;
use crate::scanner::directory::plain;
use crate::scanner::mount;
use crate::scanner::observed::Observed;
use crate::scanner::restart_policy::RestartPolicy;
use crate::scanner::step::Update;

/// Where the task's own mounts go.
const MANAGED: &[&str] = &[mount::SHARED, mount::PRIVATE, mount::CA];

/// The characters of an id's short form.
const SHORT_ID: usize = 12;

/// A successor: what it is made from, and the networks that it must be connected to afterwards.
#[derive(Debug)]
pub struct Successor {
    /// For the create call.
    pub body: ContainerCreateBody,
    /// For one connect call each.
    pub further_networks: Vec<(String, EndpointSettings)>,
}

/// A scanner from nothing: what the vendor's command makes.
#[must_use]
pub fn fresh(desired: &Desired) -> ContainerCreateBody {
    let mut body = ContainerCreateBody::default();
    manage(&mut body, desired);
    body
}

/// The successor of `old`, which the engine describes as `inspected` and whose image brought `image` (`None`: gone).
#[must_use]
pub fn successor(
    desired: &Desired,
    old: &Observed,
    inspected: &ContainerInspectResponse,
    image: Option<&ImageConfig>,
) -> Successor {
    let config = inspected.config.clone().unwrap_or_default();
    let mut body = carried_config(config, image, &old.id);
    if has_foreign_hostname(old, desired) {
        body.hostname = None;
        body.domainname = None;
    }
    let mut host_config = carried_host_config(inspected.host_config.clone().unwrap_or_default(), desired);
    adopt_anonymous_volumes(&mut host_config, inspected, image);
    body.host_config = Some(host_config);
    let mut networks = carried_networks(inspected, desired, old);
    // The network that it is made on goes with the create call, the others follow.
    let primary = desired.network.as_ref().unwrap_or(&old.network);
    if let Some(at) = networks.iter().position(|(name, _)| is_network(name, primary)) {
        let (name, endpoint) = networks.remove(at);
        if endpoint != EndpointSettings::default() {
            body.networking_config =
                Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(name, endpoint)])) });
        }
    }
    manage(&mut body, desired);
    let policy = if old.is_updatable() {
        // An engine that restarts must not start it beside the old one; it gets its policy when its turn comes.
        RestartPolicy::No
    } else {
        desired.restart_policy.unwrap_or(old.restart_policy)
    };
    body.host_config.get_or_insert_default().restart_policy = Some(to_api_policy(policy));
    let note = [
        (REPLACES, old.id.clone()),
        (WAS_UP, old.status.is_up().to_string()),
        (RESTART_POLICY, old.restart_policy.to_string()),
    ];
    body.labels.get_or_insert_default().extend(note.map(|(key, value)| (key.to_owned(), value)));
    Successor { body, further_networks: networks }
}

/// A live update.
#[must_use]
pub fn update(update: &Update) -> ContainerUpdateBody {
    let mut body = ContainerUpdateBody::default();
    if let Some((memory, swap)) = update.memory {
        body.memory = i64::try_from(memory).ok();
        body.memory_swap = Some(swap.to_api());
    }
    match update.cpus {
        Some((cpus, None)) => body.nano_cpus = Some(cpus.to_api()),
        Some((cpus, Some(period))) => {
            // The engine refuses billionths for a container whose CPUs are given as quota and period.
            body.cpu_quota = i64::try_from(cpus.to_quota(period)).ok();
            body.cpu_period = i64::try_from(period).ok();
        }
        None => {}
    }
    body.restart_policy = update.restart_policy.map(to_api_policy);
    body
}

/// Writes everything that the task manages into `body`.
fn manage(body: &mut ContainerCreateBody, desired: &Desired) {
    body.image = Some(desired.image.as_str().to_owned());
    body.env = Some(desired.variables().to_entries());
    if !desired.labels.is_empty() {
        body.labels.get_or_insert_default().extend(desired.labels.clone());
    }
    let host_config = body.host_config.get_or_insert_default();
    let identity_dir = desired.identity_dir();
    let binds = host_config.binds.get_or_insert_default();
    binds.push(mount::bind(desired.shared_dir.as_str(), mount::SHARED));
    binds.push(mount::bind(identity_dir.as_str(), mount::PRIVATE));
    binds.extend(desired.ca_dir.as_ref().map(|ca_dir| mount::bind(ca_dir.as_str(), mount::CA)));
    let limits = &desired.limits;
    host_config.memory = limits.memory().and_then(|memory| i64::try_from(memory).ok());
    host_config.memory_swap = limits.memory_swap_given().map(crate::scanner::limits::MemorySwap::to_api);
    host_config.nano_cpus = limits.cpus.map(crate::scanner::limits::Cpus::to_api);
    if let Some(network) = &desired.network {
        host_config.network_mode = Some(network.clone());
    }
    if let Some(policy) = desired.restart_policy {
        host_config.restart_policy = Some(to_api_policy(policy));
    }
    if let Some(privileged) = desired.privileged {
        host_config.privileged = Some(privileged);
    }
}

/// The old one's own configuration without what its image brought and without its environment, which is owned.
fn carried_config(config: ContainerConfig, image: Option<&ImageConfig>, id: &str) -> ContainerCreateBody {
    // With the image gone nobody can tell its part from the container's own; what may be the image's stays behind.
    let unknown = ImageConfig {
        user: config.user.clone(),
        exposed_ports: config.exposed_ports.clone(),
        cmd: config.cmd.clone(),
        healthcheck: config.healthcheck.clone(),
        working_dir: config.working_dir.clone(),
        entrypoint: config.entrypoint.clone(),
        stop_signal: config.stop_signal.clone(),
        shell: config.shell.clone(),
        ..ImageConfig::default()
    };
    let brought = image.cloned().unwrap_or(unknown);
    let image_labels = image.and_then(|image| image.labels.clone()).unwrap_or_default();
    let labels: HashMap<_, _> = config
        .labels
        .into_iter()
        .flatten()
        .filter(|(key, value)| {
            image_labels.get(key) != Some(value) && ![REPLACES, WAS_UP, RESTART_POLICY].contains(&key.as_str())
        })
        .collect();
    let entrypoint = own(config.entrypoint, brought.entrypoint.as_ref());
    // With an entrypoint of its own the engine takes no command from the image.
    let cmd = if entrypoint.is_some() { config.cmd } else { own(config.cmd, brought.cmd.as_ref()) };
    ContainerCreateBody {
        hostname: config.hostname.filter(|hostname| !is_short(hostname, id)),
        domainname: config.domainname,
        user: own(config.user, brought.user.as_ref()),
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        exposed_ports: own(config.exposed_ports, brought.exposed_ports.as_ref()),
        cmd,
        healthcheck: own(config.healthcheck, brought.healthcheck.as_ref()),
        working_dir: own(config.working_dir, brought.working_dir.as_ref()),
        entrypoint,
        stop_signal: own(config.stop_signal, brought.stop_signal.as_ref()),
        stop_timeout: config.stop_timeout,
        shell: own(config.shell, brought.shell.as_ref()),
        labels: Some(labels).filter(|labels| !labels.is_empty()),
        ..ContainerCreateBody::default()
    }
}

/// In the network of another container the engine notes that one's name and takes none; in the host's network it notes the
/// host's, which must not come along to another network.
fn has_foreign_hostname(old: &Observed, desired: &Desired) -> bool {
    let leaves = desired.network.as_ref().is_some_and(|network| *network != old.network);
    old.network.starts_with("container:") || (old.network == "host" && leaves)
}

/// Whether `text` is the short form of `id`, which engines choose as the hostname and as an alias.
fn is_short(text: &str, id: &str) -> bool {
    text.len() == SHORT_ID && id.starts_with(text)
}

/// `value` unless it is what the image brought.
fn own<T: PartialEq>(value: Option<T>, brought: Option<&T>) -> Option<T> {
    value.filter(|value| Some(value) != brought)
}

fn carried_host_config(mut config: HostConfig, desired: &Desired) -> HostConfig {
    let managed = |path: &str| MANAGED.contains(&plain(path).as_str());
    if let Some(binds) = &mut config.binds {
        binds.retain(|bind| !bind.split(':').nth(1).is_some_and(managed));
    }
    if let Some(mounts) = &mut config.mounts {
        mounts.retain(|mount| !mount.target.as_deref().is_some_and(managed));
    }
    // Reported as `/other:/this/alias`, asked for as `other:alias`.
    for link in config.links.iter_mut().flatten() {
        if let Some((other, alias)) = link.split_once(':') {
            *link = format!("{}:{}", other.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or(alias));
        }
    }
    if desired.privileged.is_some_and(|privileged| Some(privileged) != config.privileged) {
        // What the engine derived from the old value.
        config.masked_paths = None;
        config.readonly_paths = None;
        if let Some(options) = &mut config.security_opt {
            options.retain(|option| option != "label=disable");
        }
    }
    config.cpu_period = None;
    config.cpu_quota = None;
    config.memory_swappiness = config.memory_swappiness.filter(|swappiness| *swappiness >= 0);
    config.container_id_file = None;
    config.console_size = None;
    config
}

/// Anonymous volumes that someone asked for (not the image) hold data, and go over to the successor by name.
fn adopt_anonymous_volumes(config: &mut HostConfig, inspected: &ContainerInspectResponse, image: Option<&ImageConfig>) {
    let of_image: HashSet<_> =
        image.and_then(|image| image.volumes.as_ref()).into_iter().flatten().map(|path| plain(path)).collect();
    let asked_for = inspected.config.as_ref().and_then(|config| config.volumes.as_ref());
    let asked_for: HashSet<_> = asked_for.into_iter().flatten().map(|path| plain(path)).collect();
    let mut nameless: Vec<_> =
        config.mounts.iter_mut().flatten().filter(|mount| mount.typ == Some(MountType::VOLUME)).collect();
    nameless.retain(|mount| mount.source.as_deref().unwrap_or_default().is_empty());
    for point in inspected.mounts.iter().flatten().filter(|point| point.typ.as_deref() == Some("volume")) {
        let (Some(name), Some(destination)) = (&point.name, &point.destination) else { continue };
        let path = plain(destination);
        if let Some(mount) =
            nameless.iter_mut().find(|mount| mount.target.as_deref().map(plain).as_ref() == Some(&path))
        {
            mount.source = Some(name.clone());
            continue;
        }
        if asked_for.contains(&path) && !of_image.contains(&path) && !MANAGED.contains(&path.as_str()) {
            let access = if point.rw == Some(false) { ":ro" } else { "" };
            config.binds.get_or_insert_default().push(format!("{name}:{destination}{access}"));
        }
    }
}

/// Whether `name` is the network `mode`: what both engines call `bridge` as a mode is a network called `podman` on Podman.
fn is_network(name: &str, mode: &str) -> bool {
    name == mode || (mode == "bridge" && name == PODMANS_DEFAULT)
}

/// The old one's networks with what was configured on them; addresses that the engine chose stay behind.
fn carried_networks(
    inspected: &ContainerInspectResponse,
    desired: &Desired,
    old: &Observed,
) -> Vec<(String, EndpointSettings)> {
    let networks =
        inspected.network_settings.as_ref().and_then(|settings| settings.networks.clone()).unwrap_or_default();
    let moves = desired.network.as_ref().is_some_and(|network| *network != old.network);
    let mut carried: Vec<_> = networks
        .into_iter()
        .filter(|(name, _)| !(moves && is_network(name, &old.network)))
        .map(|(name, endpoint)| {
            let aliases = endpoint
                .aliases
                .map(|aliases| aliases.into_iter().filter(|alias| !is_short(alias, &old.id)).collect::<Vec<_>>());
            let configured = EndpointSettings {
                ipam_config: endpoint
                    .ipam_config
                    .filter(|config| *config != bollard::models::EndpointIpamConfig::default()),
                links: endpoint.links,
                aliases: aliases.filter(|aliases| !aliases.is_empty()),
                driver_opts: endpoint.driver_opts,
                ..EndpointSettings::default()
            };
            (name, configured)
        })
        .collect();
    carried.sort_by(|(a, _), (b, _)| a.cmp(b));
    carried
}

#[cfg(test)]
mod tests;
