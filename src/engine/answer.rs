//! What is read of the engine's answers about containers: just the fields that are used.
//!
//! Every field may be missing or null, and enum values are kept as strings, so that no field or value that an engine adds makes
//! an answer fail to parse.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value;

/// More of anything than a container has: few bytes of an answer must not become many in memory.
const MOST: usize = 1 << 12;

/// More networks than a container is on: a successor is connected to each.
const MOST_NETWORKS: usize = 1 << 8;

/// How the error begins of an answer that has more of something than that.
pub const TOO_MANY: &str = "too many";

/// Reads a list that may be missing; one that is longer than any engine makes it is refused.
pub fn few<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<T>>, D::Error> {
    Option::<Few<T>>::deserialize(deserializer).map(|few| few.map(|Few(all)| all))
}

/// The same for what has names, of which there may be `LIMIT`.
fn few_named<'de, T: Deserialize<'de>, D: Deserializer<'de>, const LIMIT: usize>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, T>>, D::Error> {
    let named = Option::<BTreeMap<String, T>>::deserialize(deserializer)?;
    if named.as_ref().is_some_and(|named| named.len() > LIMIT) { Err(D::Error::custom(TOO_MANY)) } else { Ok(named) }
}

struct Few<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewOf(PhantomData))
    }
}

struct FewOf<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewOf<T> {
    type Value = Few<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Few<T>, A::Error> {
        let mut few = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if few.len() == MOST {
                return Err(A::Error::custom(TOO_MANY));
            }
            few.push(entry);
        }
        Ok(Few(few))
    }
}

/// A container as the engine describes it.
#[derive(Debug)]
pub struct Container {
    /// The engine's answer.
    pub inspected: Inspected,
    /// Whether the engine is Podman.
    pub podman: bool,
}

/// The answer to `GET /containers/{id}/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    pub id: Option<String>,
    pub name: Option<String>,
    /// The id of the image.
    pub image: Option<String>,
    pub state: Option<State>,
    pub restart_count: Option<i64>,
    pub config: Option<Config>,
    pub host_config: Option<HostConfig>,
    #[serde(default, deserialize_with = "few")]
    pub mounts: Option<Vec<MountPoint>>,
    pub network_settings: Option<NetworkSettings>,
}

/// What the container is doing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    pub status: Option<String>,
    pub running: Option<bool>,
    pub paused: Option<bool>,
    pub restarting: Option<bool>,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub exit_code: Option<i64>,
}

/// What does not depend on the host.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// The image as it was named.
    pub image: Option<String>,
    pub env: Option<Vec<String>>,
    #[serde(default, deserialize_with = "few_named::<_, _, MOST>")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Made without any network.
    pub network_disabled: Option<bool>,
    pub stop_timeout: Option<i64>,
    /// The paths of anonymous volumes.
    pub volumes: Option<BTreeMap<String, Value>>,
}

/// What depends on the host.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostConfig {
    pub memory: Option<i64>,
    pub memory_swap: Option<i64>,
    pub memory_reservation: Option<i64>,
    pub nano_cpus: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<i64>,
    pub restart_policy: Option<RestartPolicy>,
    pub privileged: Option<bool>,
    pub auto_remove: Option<bool>,
    pub network_mode: Option<String>,
    pub ipc_mode: Option<String>,
    pub pid_mode: Option<String>,
    pub links: Option<Vec<String>>,
    pub volumes_from: Option<Vec<String>>,
    pub binds: Option<Vec<String>>,
    #[serde(default, deserialize_with = "few")]
    pub mounts: Option<Vec<AskedMount>>,
}

/// One mount, as it was asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AskedMount {
    pub source: Option<String>,
    pub target: Option<String>,
}

/// What happens when the container ends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartPolicy {
    pub name: Option<String>,
    pub maximum_retry_count: Option<i64>,
}

/// One mount, as it is in the container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    /// Of a volume.
    pub name: Option<String>,
    pub source: Option<String>,
    pub destination: Option<String>,
    pub mode: Option<String>,
    #[serde(rename = "RW")]
    pub read_write: Option<bool>,
}

/// The networks that the container is attached to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSettings {
    /// By the name of the network.
    #[serde(default, deserialize_with = "few_named::<_, _, MOST_NETWORKS>")]
    pub networks: Option<BTreeMap<String, Option<Endpoint>>>,
}

/// The container on one network.
#[derive(Debug, Deserialize)]
pub struct Endpoint {
    /// The id of the network.
    #[serde(rename = "NetworkID")]
    pub network_id: Option<String>,
}
