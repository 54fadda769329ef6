//! The properties of an engine and its host: `GET /info`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Docker, Failure};
use crate::scanner::values::directory::Owner;

/// The properties of an engine and its host.
#[derive(Debug, Clone)]
pub struct Info {
    /// Whether the engine labels mounts, so that a missing `z` matters.
    pub labels_enforced: bool,
    /// Whether the engine can limit swap.
    pub swap_accounting: bool,
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
            swap_limit: Option<bool>,
            security_options: Option<Vec<String>>,
            docker_root_dir: Option<String>,
            name: Option<String>,
        }
        let answer: Answer = self.ask("ask the engine about its host", self.transport.get("/info")).await?;
        let has = |name: &str| answer.security_options.iter().flatten().any(|option| option.contains(name));
        let root_dir = answer.docker_root_dir.unwrap_or_default();
        let rootless = has("name=rootless");
        Ok(Info {
            labels_enforced: has("name=selinux"),
            rootless,
            directory_owner: directory_owner(&root_dir, rootless, has("name=userns")),
            socket: self.transport.host().socket().to_owned(),
            memory: answer.mem_total.unwrap_or(u64::MAX),
            swap_accounting: answer.swap_limit.unwrap_or(true),
            cpus: answer.cpus.unwrap_or(u32::MAX),
            root_dir,
            host_name: answer.name.unwrap_or_default(),
        })
    }
}

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
