//! The networks of a successor, and how a container that is down comes back to one that was made anew.

use serde_json::{Value, json};

use super::body::{Fields, put};
use super::successor::{is_short, is_silent, object, text};
use crate::scanner::attachment::{DEFAULT, OF_NONE, PODMANS_DEFAULT};
use crate::scanner::desired::Desired;
use crate::scanner::observed::Observed;

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

/// The networks of a successor.
#[derive(Debug)]
pub struct Networks {
    /// What the create call names as its network mode.
    pub mode: String,
    /// The networks that the create call names with their endpoints: Podman takes all of them, Docker below API 1.44 one.
    pub first: Vec<(String, Fields)>,
    /// The networks that it must be connected to afterwards.
    pub further: Vec<(String, Fields)>,
    /// The network of the create call that it must then be disconnected from.
    pub left: Option<String>,
    /// Its links on the default network.
    links: Vec<Value>,
}

impl Networks {
    /// Those of `old`, which the engine describes as `inspected`, with the one of `desired`; `is_gone` says that the network
    /// that `old` was made on, and then disconnected from, does not exist any more.
    pub fn new(desired: &Desired, old: &Observed, inspected: &Value, is_gone: bool) -> Self {
        let made_on = &old.network.made_on;
        let moves_to = desired.network.as_ref().filter(|network| !old.is_on(network));
        let mut endpoints = configured(inspected, old);
        let mut links = links(inspected);
        if let Some(network) = moves_to {
            let left = endpoints.iter().position(|(name, _)| is_called(name, made_on, old));
            if let Some((_, left)) = left.map(|at| endpoints.remove(at)) {
                links.extend(left.get("Links").and_then(Value::as_array).cloned().unwrap_or_default());
            }
            let is_default = [DEFAULT, "default"].contains(&network.as_str());
            let mut first = Fields::new();
            if !is_default && !links.is_empty() {
                // Engines take links to another network from its endpoint alone.
                first.insert("Links".to_owned(), links.split_off(0).into());
            }
            let name = if old.podman && is_default { PODMANS_DEFAULT } else { network };
            let (mut first, mut further) = (vec![(name.to_owned(), first)], endpoints);
            if old.podman {
                first.append(&mut further);
            }
            return Self { mode: network.clone(), first, further, left: None, links };
        }
        let mode = inspected.get("HostConfig").map_or("", |config| text(config, "NetworkMode"));
        if old.podman && mode == DEFAULT {
            // That is its mode whatever it is attached to. Where no network is named it takes its default one.
            let left = endpoints.is_empty().then(|| PODMANS_DEFAULT.to_owned());
            return Self { mode: mode.to_owned(), first: endpoints, further: Vec::new(), left, links };
        }
        // By name: a network that was made anew has another id.
        let mode = if old.podman || ["", "default"].contains(&mode) { mode } else { made_on };
        let mut networks = Self { mode: mode.to_owned(), first: Vec::new(), further: endpoints, left: None, links };
        if old.network.is_off_its_own() {
            if is_gone {
                networks.first.extend((!networks.further.is_empty()).then(|| networks.further.remove(0)));
                networks.mode = networks.first.first().map_or("none", |(name, _)| name).to_owned();
            } else {
                networks.left = Some(made_on.to_owned());
            }
        } else if let Some(at) = networks.further.iter().position(|(name, _)| name == made_on) {
            networks.first.push(networks.further.remove(at));
        }
        networks
    }

    /// Writes the links on the default network into `host_config`.
    pub fn put_links(&self, host_config: &mut Fields) {
        put(host_config, "Links", (!self.links.is_empty()).then(|| self.links.clone()));
    }
}

/// The endpoint of the container `old` on `network`, without what the engine chose.
pub fn endpoint(inspected: &Value, old: &Observed, network: &str) -> Fields {
    configured(inspected, old).into_iter().find(|(name, _)| name == network).map(|(_, it)| it).unwrap_or_default()
}

/// Whether the engine's network `name` is the one that `old` was made on, which Podman calls by another name.
fn is_called(name: &str, made_on: &str, old: &Observed) -> bool {
    name == made_on || (old.podman && made_on == DEFAULT && name == PODMANS_DEFAULT)
}

/// The links on the default network. They are reported as `/other:/this/alias`, and asked for as `other:alias`.
fn links(inspected: &Value) -> Vec<Value> {
    let links = inspected.get("HostConfig").and_then(|config| config.get("Links")?.as_array()).into_iter().flatten();
    let asked = |link: &Value| match link.as_str().and_then(|link| link.split_once(':')) {
        Some((other, alias)) => {
            json!(format!("{}:{}", other.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or(alias)))
        }
        None => link.clone(),
    };
    links.map(asked).collect()
}

/// The networks of `old` with what was configured on them, by name.
fn configured(inspected: &Value, old: &Observed) -> Vec<(String, Fields)> {
    let mut networks =
        inspected.get("NetworkSettings").map(|settings| object(settings, "Networks")).unwrap_or_default();
    if old.podman {
        networks.remove(OF_NONE);
    }
    let mut configured: Vec<_> = networks
        .into_iter()
        .map(|(name, mut endpoint)| {
            if let Some(Value::Array(aliases)) = endpoint.get_mut("Aliases") {
                aliases.retain(|alias| !alias.as_str().is_some_and(|alias| is_short(alias, &old.id)));
            }
            let mut fields = endpoint.as_object_mut().map(std::mem::take).unwrap_or_default();
            fields.retain(|field, value| !CHOSEN.contains(&field.as_str()) && !is_silent(value));
            (name, fields)
        })
        .collect();
    configured.sort_by(|(a, _), (b, _)| a.cmp(b));
    configured
}
