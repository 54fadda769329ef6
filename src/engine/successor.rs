//! The create call of a successor: the new container that replaces a scanner's old one.
//!
//! A successor takes over everything that the old container has and the task does not manage, also fields that this program
//! does not know: it is made from the engine's JSON of the old one, with the managed fields put in, and what the engine or the
//! old image derived taken out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::body::{Fields, bind, manage, policy, put, within};
use super::endpoints::Networks;
use super::mounts::VOLUMES;
use super::translate::{NOTE, REPLACES, RESTART_POLICY, WAS_UP};
use crate::scanner::attachment::DEFAULT;
use crate::scanner::dependency::Sharing;
use crate::scanner::desired::Desired;
use crate::scanner::observed::{Note, Observed};
use crate::scanner::values::directory::plain;
use crate::scanner::values::restart_policy::RestartPolicy;
use crate::scanner::volume::MANAGED;

/// The characters of an id's short form.
const SHORT_ID: usize = 12;

/// What Podman's own annotations begin with.
const PODMANS_ANNOTATIONS: &[&str] = &[
    "io.podman.annotations.",
    "io.container.manager",
    "org.opencontainers.image.stopSignal",
    "org.systemd.property.KillSignal",
    "org.systemd.property.TimeoutStopUSec",
];

/// The fields of `Config` that an image brings, beside its labels.
const FROM_IMAGE: &[&str] =
    &["User", "ExposedPorts", "Cmd", "Healthcheck", "WorkingDir", "Entrypoint", "StopSignal", "Shell"];

/// The fields of `Config` that do not go over as they are: volumes go over by name, the image and the environment are managed,
/// and the others say how the client of `docker run` was attached, and what a build from the image would do.
const NOT_CARRIED: &[&str] =
    &["Image", "Env", "Volumes", "AttachStdin", "AttachStdout", "AttachStderr", "OnBuild", "ArgsEscaped"];

/// The fields of `HostConfig` that do not go over as they are: another form of the CPUs, a file of the client that made the old
/// one, and the size of its terminal.
const HOST_NOT_CARRIED: &[&str] = &["CpuPeriod", "CpuQuota", "ContainerIDFile", "ConsoleSize"];

/// A successor: what it is made from, and the networks that it must be connected to afterwards.
#[derive(Debug)]
pub struct Successor {
    /// The body of the create call.
    pub body: Value,
    /// A network and its endpoint for one connect call each.
    pub further_networks: Vec<(String, Fields)>,
    /// The network of the create call that it must be disconnected from before it is started.
    pub left_network: Option<String>,
}

/// What a successor depends on beside the containers and the image.
#[derive(Debug, Clone, Copy)]
pub struct OnEngine<'a> {
    /// The name of the engine's host.
    pub host_name: &'a str,
    /// The paths of the new image's VOLUMEs.
    pub volumes: &'a BTreeSet<String>,
    /// Whether the old container was disconnected from the network that it was made on, and that network does not exist any
    /// more.
    pub made_on_is_gone: bool,
}

/// The successor of `old`, with `note` on it; the engine describes the old one as `inspected`, and its image has the `image`
/// configuration (`None`: the image is gone).
pub fn successor(
    desired: &Desired,
    old: &Observed,
    note: &Note,
    inspected: &Value,
    image: Option<&Value>,
    engine: OnEngine<'_>,
) -> Successor {
    let moves = desired.network.as_ref().is_some_and(|network| !old.is_on(network));
    let mut body = carried_config(object(inspected, "Config"), image, old);
    if has_borrowed_hostname(old, inspected, moves, engine.host_name) {
        body.remove("Hostname");
        body.remove("Domainname");
    }
    if moves {
        // An address of the network that it leaves, and that it has none.
        body.remove("MacAddress");
        body.remove("NetworkDisabled");
    }
    let mut host_config = carried_host_config(object(inspected, "HostConfig"), desired, old);
    let adopted = adopt_volumes(&mut host_config, old, engine.volumes);
    let networks = Networks::new(desired, old, inspected, engine.made_on_is_gone);
    networks.put_links(&mut host_config);
    body.insert("HostConfig".to_owned(), Value::Object(host_config));
    let mac_address = body.get("MacAddress").filter(|it| !is_silent(it)).cloned();
    let mut endpoints = Fields::new();
    // Podman's mode tells no network, and does not count beside one that is named.
    let all_named = old.podman && networks.first.iter().any(|(name, _)| *name != networks.mode);
    for (name, mut endpoint) in networks.first {
        // Engines from API 1.44 on want a chosen MAC address here, older ones only where they report it.
        if let Some(address) = mac_address.clone().filter(|_| name != DEFAULT) {
            endpoint.insert("MacAddress".to_owned(), address);
        }
        if all_named || !endpoint.is_empty() {
            endpoints.insert(name, endpoint.into());
        }
    }
    if !endpoints.is_empty() {
        body.insert("NetworkingConfig".to_owned(), json!({"EndpointsConfig": endpoints}));
    }
    manage(&mut body, desired);
    if let Some(Value::Array(env)) = body.get_mut("Env") {
        env.extend(taken_away(inspected, desired));
    }
    // One that the container is attached to already does not become the one that it is made on.
    within(&mut body, "HostConfig", |config| put(config, "NetworkMode", Some(networks.mode)));
    let restart_policy = if old.is_updatable() {
        // An engine that restarts must not start it beside the old one; it gets its policy when the old one is down.
        RestartPolicy::No
    } else {
        desired.restart_policy.unwrap_or(old.restart_policy)
    };
    within(&mut body, "HostConfig", |config| put(config, "RestartPolicy", Some(policy(restart_policy))));
    let note = [
        (REPLACES, note.id.clone()),
        (WAS_UP, note.was_up.to_string()),
        (RESTART_POLICY, note.restart_policy.to_string()),
    ];
    // What comes from another container by `--volumes-from` may be that one's.
    let borrows = old.dependencies.iter().any(|it| it.sharing == Sharing::Volumes);
    let mut volumes = old.noted_volumes.clone();
    volumes.extend(adopted.into_iter().filter(|_| !borrows));
    if !volumes.is_empty() {
        within(&mut body, "Labels", |labels| put(labels, VOLUMES, Some(volumes.join(","))));
    }
    within(&mut body, "Labels", |labels| labels.extend(note.map(|(key, value)| (key.to_owned(), json!(value)))));
    Successor { body: Value::Object(body), further_networks: networks.further, left_network: networks.left }
}

/// The old one's own configuration without what its image brought.
fn carried_config(mut config: Fields, image: Option<&Value>, old: &Observed) -> Fields {
    config.retain(|field, _| !NOT_CARRIED.contains(&field.as_str()));
    let command = config.get("Cmd").cloned();
    for field in FROM_IMAGE {
        let Some(value) = config.remove(*field) else { continue };
        // If the image is gone, its part cannot be told from the container's own; what may be the image's is left out.
        let own =
            image.and_then(|image| own(value, by_meaning(field, image.get(*field).unwrap_or(&Value::Null)), field));
        put(&mut config, field, own);
    }
    if config.contains_key("Entrypoint") {
        // With an entrypoint of its own the engine takes no command from the image.
        put(&mut config, "Cmd", command);
    }
    within(&mut config, "Labels", |labels| {
        let brought = image.and_then(|image| image.get("Labels"));
        labels.retain(|key, value| {
            !NOTE.contains(&key.as_str())
                && key != VOLUMES
                && brought.and_then(|brought| brought.get(key)) != Some(value)
        });
    });
    let hostname = config.get("Hostname").and_then(Value::as_str).unwrap_or_default();
    if is_short(hostname, &old.id) {
        config.remove("Hostname");
    }
    config
}

/// The variables that the container does not have although its image brings them (`docker run -e NAME`, unset on the client): the
/// engine notes them without a value.
fn taken_away(inspected: &Value, desired: &Desired) -> Vec<Value> {
    let env = inspected.pointer("/Config/Env").and_then(Value::as_array).into_iter().flatten();
    let wanted = desired.variables();
    let is_taken_away =
        |entry: &&Value| entry.as_str().is_some_and(|name| !name.contains('=') && wanted.value(name).is_none());
    env.filter(is_taken_away).cloned().collect()
}

/// What of the `value` of `field` the image did not bring.
fn own(value: Value, brought: &Value, field: &str) -> Option<Value> {
    match (value, brought) {
        (Value::Object(fields), Value::Object(brought)) => {
            let own: Fields = fields
                .into_iter()
                .filter_map(|(key, value)| match brought.get(&key) {
                    Some(brought) => own(value, brought, field).map(|value| (key, value)),
                    None => Some((key, value)),
                })
                .collect();
            (!own.is_empty()).then_some(Value::Object(own))
        }
        (value, brought) => {
            let meant = by_meaning(field, &value);
            let same = meant == brought || (is_silent(meant) && is_silent(brought));
            (!same).then_some(value)
        }
    }
}

/// Nothing where the `value` of `field` is what the engine takes when nothing is said: Podman says it all the same.
fn by_meaning<'a>(field: &str, value: &'a Value) -> &'a Value {
    match (field, value.as_str()) {
        ("WorkingDir", Some("/")) | ("StopSignal", Some("15" | "SIGTERM")) => &Value::Null,
        _ => value,
    }
}

/// Whether `value` means the same as if it was left out.
pub fn is_silent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Whether the hostname is not the container's own. In the network or the UTS namespace of something else the engine reports
/// that one's name, and may accept none; the host's name must not be taken to another network.
fn has_borrowed_hostname(old: &Observed, inspected: &Value, moves: bool, of_host: &str) -> bool {
    let hostname = inspected.get("Config").map_or("", |config| text(config, "Hostname"));
    let uts = inspected.get("HostConfig").map_or("", |config| text(config, "UTSMode"));
    let is_of_host = old.network.made_on == "host" && (moves || hostname == of_host);
    is_of_host || uts == "host" || old.network.made_on.starts_with("container:")
}

/// Whether `text` is the short form of `id`, which engines choose as the hostname and as an alias.
pub fn is_short(text: &str, id: &str) -> bool {
    text.len() == SHORT_ID && id.starts_with(text)
}

fn carried_host_config(mut config: Fields, desired: &Desired, old: &Observed) -> Fields {
    let managed = |path: &str| {
        let path = plain(path);
        MANAGED.contains(&path.as_str()) && !desired.kept.contains_mount(&path)
    };
    if let Some(Value::Array(binds)) = config.get_mut("Binds") {
        binds.retain(|bind| !bind.as_str().and_then(|bind| bind.split(':').nth(1)).is_some_and(managed));
    }
    if let Some(Value::Array(mounts)) = config.get_mut("Mounts") {
        mounts.retain(|mount| !managed(text(mount, "Target")));
    }
    let was_privileged = config.get("Privileged").and_then(Value::as_bool).unwrap_or_default();
    if desired.privileged.is_some_and(|privileged| privileged != was_privileged) {
        // What the engine derived from the old value.
        config.remove("MaskedPaths");
        config.remove("ReadonlyPaths");
        if let Some(Value::Array(options)) = config.get_mut("SecurityOpt") {
            options.retain(|option| option != "label=disable" && option != "unmask=all");
        }
        if old.podman && was_privileged {
            // It reports by what all rights differ from the usual ones.
            config.remove("CapAdd");
            config.remove("CapDrop");
        }
    }
    // It notes there what it was told otherwise, and believes it: also that a container has all rights.
    if let Some(Value::Object(annotations)) = config.get_mut("Annotations").filter(|_| old.podman) {
        annotations.retain(|key, _| !PODMANS_ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix)));
    }
    // Podman reports -1 or 0 for an unset value, and cgroup v2 accepts neither.
    let swappiness = config.get("MemorySwappiness").and_then(Value::as_i64);
    if swappiness.is_some_and(|swappiness| swappiness < 0 || (swappiness == 0 && old.podman)) {
        config.remove("MemorySwappiness");
    }
    config.retain(|field, _| !HOST_NOT_CARRIED.contains(&field.as_str()));
    config
}

/// Binds the anonymous volumes that go along by their names; returns these.
fn adopt_volumes(config: &mut Fields, old: &Observed, paths: &BTreeSet<String>) -> Vec<String> {
    let (mut binds, mut names) = (Vec::new(), Vec::new());
    for volume in old.volumes.iter().filter(|volume| volume.goes_along(paths)) {
        let mut mounts = config.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten();
        let nameless = mounts.find(|mount| {
            let is_volume = text(mount, "Type") == "volume" && text(mount, "Source").is_empty();
            is_volume && plain(text(mount, "Target")) == volume.path
        });
        match nameless.and_then(Value::as_object_mut) {
            Some(mount) => put(mount, "Source", Some(volume.name.as_str())),
            None => binds.push(volume.bind()),
        }
        names.push(volume.name.clone());
    }
    if !binds.is_empty() {
        bind(config, binds);
    }
    names
}

/// The fields of the object at `key`.
pub fn object(value: &Value, key: &str) -> Fields {
    value.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The text at `key`.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
