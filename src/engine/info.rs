//! The properties of an engine and its host: `GET /info`.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;

use super::{Docker, Failure};
use crate::scanner::engine_traits::{EngineTraits, SwapLimits};
use crate::scanner::values::directory::Owner;
use crate::scanner::values::image::Store;

/// The properties of an engine and its host.
#[derive(Debug, Clone)]
pub struct Info {
    /// What decides whether something is a difference.
    pub traits: EngineTraits,
    /// Whether the engine can limit CPUs: else it refuses a container with such a limit.
    pub limits_cpus: bool,
    /// Where the engine keeps its images, which decides what their ids are.
    pub store: Store,
    /// The number of the host's CPUs.
    pub cpus: u32,
    /// The host's memory in bytes.
    pub memory: u64,
    /// Whether the engine runs without root, which the vendor advises against.
    pub rootless: bool,
    /// The name of the host.
    pub host_name: String,
    /// The engine's own directory on the host (`DockerRootDir`), which also tells engines apart; empty where it does not say.
    pub root_dir: String,
    /// Whom the directories that are mounted into its containers belong to.
    pub directory_owner: Owner,
    /// The socket that it was asked at.
    pub socket: PathBuf,
}

impl Docker {
    pub(super) async fn read_info(&self) -> Result<Info, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(rename = "NCPU")]
            cpus: Option<u32>,
            mem_total: Option<u64>,
            memory_limit: Option<bool>,
            swap_limit: Option<bool>,
            cpu_cfs_quota: Option<bool>,
            cgroup_version: Option<String>,
            driver_status: Option<Vec<Vec<String>>>,
            security_options: Option<Vec<String>>,
            docker_root_dir: Option<String>,
            name: Option<String>,
        }
        let answer: Answer = self.ask("ask the engine about its host", self.transport.get("/info")).await?;
        let has = |name: &str| answer.security_options.iter().flatten().any(|option| option.contains(name));
        let root_dir = answer.docker_root_dir.unwrap_or_default();
        let rootless = has("name=rootless");
        let is_containerd = |pair: &Vec<String>| pair.iter().any(|text| text.starts_with(CONTAINERD));
        let store =
            if answer.driver_status.iter().flatten().any(is_containerd) { Store::Containerd } else { Store::Graph };
        let is_podman = self.transport.is_podman();
        // Podman looks for the files of version 1.
        let is_told = !(is_podman && answer.cgroup_version.as_deref() == Some("2"));
        Ok(Info {
            traits: EngineTraits {
                labels_enforced: has("name=selinux"),
                limits_memory: answer.memory_limit.unwrap_or(true),
                swap: match answer.swap_limit.filter(|_| is_told) {
                    Some(false) => SwapLimits::Discarded,
                    _ if is_podman => SwapLimits::Limited,
                    _ => SwapLimits::Any,
                },
                updates: false, // asked for where it matters, by a call of its own
            },
            limits_cpus: answer.cpu_cfs_quota.filter(|_| is_told).unwrap_or(true),
            store,
            rootless,
            directory_owner: directory_owner(&root_dir, rootless, has("name=userns")),
            socket: self.transport.host().socket().to_owned(),
            memory: answer.mem_total.unwrap_or(u64::MAX),
            cpus: answer.cpus.unwrap_or(u32::MAX),
            root_dir,
            host_name: answer.name.unwrap_or_default(),
        })
    }

    /// Whether Podman has the call that changes the limits of a container as it is: older ones do not know the path. The
    /// container that is asked for does not exist.
    pub(super) async fn has_update(&self) -> Result<bool, Failure> {
        let path = format!("/containers/{NOBODY}/update");
        match self.tell("ask the engine what it can update", &path, &json!({})).await {
            Ok(_) => Ok(true),
            Err(failure) => match failure.root() {
                Failure::NotFound(message) => Ok(message.contains("no such container")),
                Failure::Refused { .. } | Failure::Conflict(_) => Ok(true),
                _ => Err(failure),
            },
        }
    }
}

/// The id of no container.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How the status of an engine begins that keeps its images in containerd.
const CONTAINERD: &str = "io.containerd.snapshotter.";

/// The root of the containers. The directory of an engine with remapped users ends with them: `/var/lib/docker/100000.100000`.
fn directory_owner(root_dir: &str, rootless: bool, remapped: bool) -> Owner {
    let ids = || {
        let (user, group) = root_dir.rsplit('/').next()?.split_once('.')?;
        Some(Owner::Remapped(user.parse().ok()?, group.parse().ok()?))
    };
    if rootless {
        return Owner::SameAs(root_dir.to_owned());
    }
    ids().filter(|_| remapped).unwrap_or(Owner::Root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/var/lib/docker", false, false, Owner::Root)]
    #[case("/var/lib/docker/100000.200000", false, true, Owner::Remapped(100_000, 200_000))]
    #[case::by_chance("/srv/1.2", false, false, Owner::Root)]
    #[case::unknown("/srv/docker", false, true, Owner::Root)]
    #[case("/home/u/docker", true, false, Owner::SameAs("/home/u/docker".to_owned()))]
    fn a_new_directory_belongs_to_the_root_of_the_containers(
        #[case] root_dir: &str,
        #[case] rootless: bool,
        #[case] remapped: bool,
        #[case] owner: Owner,
    ) {
        assert_eq!(directory_owner(root_dir, rootless, remapped), owner);
    }
}
