//! The bodies of create and update calls.
//!
//! The body of a create call is JSON of our own: bollard's type for it drops whatever it does not know, and a successor
//! ([`super::successor`]) has such fields.

use bollard::models::ContainerUpdateBody;
use serde_json::{Map, Value, json};

use super::translate::{NOTE, to_api_policy};
use crate::scanner::desired::Desired;
use crate::scanner::observed::Observed;
use crate::scanner::operation::{Change, Update};
use crate::scanner::values::limits::{Cpus, MemorySwap};
use crate::scanner::values::mount;
use crate::scanner::values::restart_policy::RestartPolicy;

/// The fields of a JSON object.
pub type Fields = Map<String, Value>;

/// The seconds between SIGTERM and SIGKILL that `podman run` gives a container.
const PODMANS_STOP_TIMEOUT: i64 = 10;

/// A new scanner, as the vendor's command makes it.
pub fn fresh(desired: &Desired, podman: bool) -> Value {
    let mut body = Fields::new();
    // Up to 4 it takes none where nothing is said, and kills what it stops.
    put(&mut body, "StopTimeout", podman.then_some(PODMANS_STOP_TIMEOUT));
    manage(&mut body, desired);
    Value::Object(body)
}

/// A container that only carries the labels of `successor`. It is never started, but engines refuse a container without a
/// command.
pub fn note(successor: &Observed) -> Value {
    let labels: Fields = NOTE
        .iter()
        .filter_map(|key| successor.labels.get(*key).map(|value| ((*key).to_owned(), json!(value))))
        .collect();
    json!({
        "Image": successor.image_id,
        "Cmd": ["true"],
        "Labels": labels,
        "HostConfig": {"NetworkMode": "none", "RestartPolicy": policy(RestartPolicy::No)},
    })
}

/// A live update.
pub fn update(update: &Update) -> ContainerUpdateBody {
    let mut body = ContainerUpdateBody::default();
    for change in &update.changes {
        match *change {
            Change::Memory(memory, swap) => {
                body.memory = Some(to_api(memory));
                body.memory_swap = Some(swap.to_api());
            }
            Change::Cpus(cpus, None) => body.nano_cpus = Some(cpus.to_api()),
            Change::Cpus(cpus, Some(period)) => {
                // The engine refuses billionths for a container whose CPUs are given as quota and period.
                body.cpu_quota = Some(to_api(cpus.to_quota(period)));
                body.cpu_period = Some(to_api(period));
            }
            Change::RestartPolicy(policy) => body.restart_policy = Some(to_api_policy(policy)),
        }
    }
    body
}

/// The API's numbers have a sign; one that is too large must not be left out, which would mean no change.
pub fn to_api(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes everything that the task manages into `body`.
pub fn manage(body: &mut Fields, desired: &Desired) {
    let Desired {
        code: _, // in the identity directory and the variables
        identity_at: _,
        url: _,
        image,
        shared_dir,
        private_dir: _,
        private_dir_mode: _, // of the host
        limits,
        proxy: _,
        polling_interval: _,
        update_interval: _,
        refresh_interval: _,
        ca_dir,
        network,
        env: _,
        restart_policy,
        privileged,
        labels,
        kept,
    } = desired;
    put(body, "Image", Some(image.as_str()));
    put(body, "Env", Some(desired.variables().to_entries()));
    if !labels.is_empty() {
        let labels = labels.iter().map(|(key, value)| (key.clone(), json!(value)));
        within(body, "Labels", |all| all.extend(labels));
    }
    let identity_dir = desired.identity_dir();
    let mounts = [
        Some((shared_dir, mount::SHARED)),
        Some((&identity_dir, mount::PRIVATE)),
        ca_dir.as_ref().map(|ca_dir| (ca_dir, mount::CA)),
    ];
    let managed = mounts.into_iter().flatten().filter(|(_, destination)| !kept.contains_mount(destination));
    let binds = managed.map(|(source, destination)| mount::bind(source.as_str(), destination));
    let (memory, memory_swap, cpus) = limits.given();
    within(body, "HostConfig", |host_config| {
        bind(host_config, binds);
        put(host_config, "Memory", memory);
        put(host_config, "MemorySwap", memory_swap.map(MemorySwap::to_api));
        put(host_config, "NanoCpus", cpus.map(Cpus::to_api));
        if let Some(network) = network {
            put(host_config, "NetworkMode", Some(network.as_str()));
        }
        if let Some(restart_policy) = *restart_policy {
            put(host_config, "RestartPolicy", Some(policy(restart_policy)));
        }
        if let Some(privileged) = *privileged {
            put(host_config, "Privileged", Some(privileged));
        }
    });
}

/// A restart policy as the engine takes it in a create call.
pub fn policy(policy: RestartPolicy) -> Value {
    json!(to_api_policy(policy))
}

/// Sets `key`, or removes it.
pub fn put(fields: &mut Fields, key: &str, value: Option<impl Into<Value>>) {
    match value {
        Some(value) => fields.insert(key.to_owned(), value.into()),
        None => fields.remove(key),
    };
}

/// Adds `binds` to those that are there.
pub fn bind(host_config: &mut Fields, binds: impl IntoIterator<Item = String>) {
    let all = host_config.entry("Binds").or_insert(Value::Null);
    if !all.is_array() {
        *all = json!([]);
    }
    if let Value::Array(all) = all {
        all.extend(binds.into_iter().map(Value::from));
    }
}

/// Changes the object at `key`, which is made where there is none.
pub fn within(fields: &mut Fields, key: &str, change: impl FnOnce(&mut Fields)) {
    let value = fields.entry(key).or_insert(Value::Null);
    if !value.is_object() {
        *value = json!({});
    }
    if let Value::Object(object) = value {
        change(object);
    }
}

#[cfg(test)]
mod tests;
