//! The create call of a successor: the new container that replaces a scanner's old one.
//!
//! A successor takes over everything that the old container has and the task does not manage, also fields that this program
//! does not know: it is made from the engine's JSON of the old one, with the managed fields put in, and what the engine or the
//! old image derived taken out.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::body::{Fields, bind, manage, policy, put, within};
use super::translate::{NOTE, PODMANS_DEFAULT, REPLACES, RESTART_POLICY, WAS_UP};
use crate::scanner::desired::Desired;
use crate::scanner::observed::{Note, Observed};
use crate::scanner::values::directory::plain;
use crate::scanner::values::mount;
use crate::scanner::values::restart_policy::RestartPolicy;

/// Where the task's own mounts go.
const MANAGED: &[&str] = &[mount::SHARED, mount::PRIVATE, mount::CA];

/// Engines do not take an endpoint's MAC address on this network, whose mode has another name.
const DEFAULT_NETWORK: &str = "bridge";

/// The characters of an id's short form.
const SHORT_ID: usize = 12;

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

/// The fields of an endpoint that the engine chose.
const CHOSEN: &[&str] = &[
    "NetworkID",
    "EndpointID",
    "Gateway",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "MacAddress",
    "DNSNames",
];

/// A successor: what it is made from, and the networks that it must be connected to afterwards.
#[derive(Debug)]
pub struct Successor {
    /// The body of the create call.
    pub body: Value,
    /// A network and its endpoint for one connect call each.
    pub further_networks: Vec<(String, Value)>,
}

/// The successor of `old`, with `note` on it; the engine describes the old one as `inspected`, and its image has the `image`
/// configuration (`None`: the image is gone).
pub fn successor(
    desired: &Desired,
    old: &Observed,
    note: &Note,
    inspected: &Value,
    image: Option<&Value>,
) -> Successor {
    let moves = desired.network.as_ref().is_some_and(|network| *network != old.network);
    let mut body = carried_config(object(inspected, "Config"), image, &old.id);
    if has_borrowed_hostname(old, moves) {
        body.remove("Hostname");
        body.remove("Domainname");
    }
    if moves {
        // An address of the network that it leaves.
        body.remove("MacAddress");
    }
    let mut host_config = carried_host_config(object(inspected, "HostConfig"), desired, old);
    adopt_anonymous_volumes(&mut host_config, inspected, image);
    body.insert("HostConfig".to_owned(), Value::Object(host_config));
    let mut networks = carried_networks(inspected, old, moves);
    // The network that it is made on goes with the create call, the others follow.
    let primary = desired.network.as_ref().unwrap_or(&old.network);
    if let Some(at) = networks.iter().position(|(name, _)| is_network(name, primary)) {
        let (name, mut endpoint) = networks.remove(at);
        // Engines from API 1.44 on want a chosen MAC address here, older ones only where they report it.
        if let (Some(address), Value::Object(fields)) = (body.get("MacAddress"), &mut endpoint)
            && !is_silent(address)
            && name != DEFAULT_NETWORK
        {
            fields.insert("MacAddress".to_owned(), address.clone());
        }
        if !is_silent(&endpoint) {
            body.insert("NetworkingConfig".to_owned(), json!({"EndpointsConfig": {name: endpoint}}));
        }
    }
    manage(&mut body, desired);
    if let Some(Value::Array(env)) = body.get_mut("Env") {
        env.extend(taken_away(inspected, desired));
    }
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
    within(&mut body, "Labels", |labels| labels.extend(note.map(|(key, value)| (key.to_owned(), json!(value)))));
    Successor { body: Value::Object(body), further_networks: networks }
}

/// The old one's own configuration without what its image brought.
fn carried_config(mut config: Fields, image: Option<&Value>, id: &str) -> Fields {
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
            !NOTE.contains(&key.as_str()) && brought.and_then(|brought| brought.get(key)) != Some(value)
        });
    });
    let hostname = config.get("Hostname").and_then(Value::as_str).unwrap_or_default();
    if is_short(hostname, id) {
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
fn is_silent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Whether the hostname is not the container's own. In the network of another container the engine reports that one's name
/// and accepts none; in the host's network it reports the host's, which must not be taken to another network.
fn has_borrowed_hostname(old: &Observed, moves: bool) -> bool {
    old.network.starts_with("container:") || (old.network == "host" && moves)
}

/// Whether `text` is the short form of `id`, which engines choose as the hostname and as an alias.
fn is_short(text: &str, id: &str) -> bool {
    text.len() == SHORT_ID && id.starts_with(text)
}

fn carried_host_config(mut config: Fields, desired: &Desired, old: &Observed) -> Fields {
    let managed = |path: &str| MANAGED.contains(&plain(path).as_str());
    if let Some(Value::Array(binds)) = config.get_mut("Binds") {
        binds.retain(|bind| !bind.as_str().and_then(|bind| bind.split(':').nth(1)).is_some_and(managed));
    }
    if let Some(Value::Array(mounts)) = config.get_mut("Mounts") {
        mounts.retain(|mount| !managed(text(mount, "Target")));
    }
    // Reported as `/other:/this/alias`, asked for as `other:alias`.
    for link in config.get_mut("Links").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some((other, alias)) = link.as_str().and_then(|link| link.split_once(':')) {
            *link = json!(format!("{}:{}", other.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or(alias)));
        }
    }
    let was_privileged = config.get("Privileged").and_then(Value::as_bool).unwrap_or_default();
    if desired.privileged.is_some_and(|privileged| privileged != was_privileged) {
        // What the engine derived from the old value.
        config.remove("MaskedPaths");
        config.remove("ReadonlyPaths");
        if let Some(Value::Array(options)) = config.get_mut("SecurityOpt") {
            options.retain(|option| option != "label=disable");
        }
    }
    // Podman reports -1 or 0 for an unset value, and cgroup v2 accepts neither.
    let swappiness = config.get("MemorySwappiness").and_then(Value::as_i64);
    if swappiness.is_some_and(|swappiness| swappiness < 0 || (swappiness == 0 && old.podman)) {
        config.remove("MemorySwappiness");
    }
    config.retain(|field, _| !HOST_NOT_CARRIED.contains(&field.as_str()));
    config
}

/// Anonymous volumes that the container itself asked for (not the image) have data, and go over to the successor by name.
fn adopt_anonymous_volumes(config: &mut Fields, inspected: &Value, image: Option<&Value>) {
    let paths = |config: Option<&Value>| -> HashSet<String> {
        config
            .and_then(|config| config.get("Volumes")?.as_object())
            .into_iter()
            .flatten()
            .map(|(it, _)| plain(it))
            .collect()
    };
    let (of_image, asked_for) = (paths(image), paths(inspected.get("Config")));
    let mut binds = Vec::new();
    let points = inspected.get("Mounts").and_then(Value::as_array).into_iter().flatten();
    for point in points.filter(|point| text(point, "Type") == "volume") {
        let (name, destination) = (text(point, "Name"), text(point, "Destination"));
        if name.is_empty() || destination.is_empty() {
            continue;
        }
        let path = plain(destination);
        let mut mounts = config.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten();
        let nameless = mounts.find(|mount| {
            text(mount, "Type") == "volume" && text(mount, "Source").is_empty() && plain(text(mount, "Target")) == path
        });
        if let Some(mount) = nameless.and_then(Value::as_object_mut) {
            put(mount, "Source", Some(name));
        } else if asked_for.contains(&path) && !of_image.contains(&path) && !MANAGED.contains(&path.as_str()) {
            let access = if point.get("RW") == Some(&json!(false)) { ":ro" } else { "" };
            binds.push(format!("{name}:{destination}{access}"));
        }
    }
    if !binds.is_empty() {
        bind(config, binds);
    }
}

/// Whether `name` is the network `mode`: what both engines call `bridge` as a mode is a network called `podman` on Podman.
fn is_network(name: &str, mode: &str) -> bool {
    name == mode || (mode == "bridge" && name == PODMANS_DEFAULT)
}

/// The old one's networks with what was configured on them; what the engine chose is left out.
fn carried_networks(inspected: &Value, old: &Observed, moves: bool) -> Vec<(String, Value)> {
    let networks = inspected.get("NetworkSettings").map(|settings| object(settings, "Networks")).unwrap_or_default();
    let mut carried: Vec<_> = networks
        .into_iter()
        .filter(|(name, _)| !(moves && is_network(name, &old.network)))
        .map(|(name, mut endpoint)| {
            if let Some(Value::Array(aliases)) = endpoint.get_mut("Aliases") {
                aliases.retain(|alias| !alias.as_str().is_some_and(|alias| is_short(alias, &old.id)));
            }
            if let Value::Object(fields) = &mut endpoint {
                fields.retain(|field, value| !CHOSEN.contains(&field.as_str()) && !is_silent(value));
            }
            (name, endpoint)
        })
        .collect();
    carried.sort_by(|(a, _), (b, _)| a.cmp(b));
    carried
}

/// The fields of the object at `key`.
fn object(value: &Value, key: &str) -> Fields {
    value.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The text at `key`.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
