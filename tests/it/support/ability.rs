//! What a test needs that not every engine has. Where the engine lacks it, the test is at its end, and the lack is noted for
//! `tests/engines/run`, which counts it apart from what was run.

use std::fs::OpenOptions;
use std::io::Write;
use std::thread;

use super::Engine;

/// What not every engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// It limits memory.
    LimitsMemory,
    /// It limits swap, and tells a limit of twice the memory from none.
    LimitsSwap,
    /// It limits CPUs.
    LimitsCpus,
    /// It changes the limits and the restart policy of a container as it is.
    UpdatesLive,
    /// It changes the limits of an ended container, and reports them.
    UpdatesEnded,
    /// It keeps a quota of CPU time beside a number of CPUs.
    QuotaBesideCpus,
    /// Its client takes a variable of the image away (`-e NAME`), and the engine notes that.
    TakesVariablesAway,
    /// Its client adds proxies from the configuration of the docker command.
    ClientsProxies,
    /// It asks registries for check mode.
    Distribution,
    /// An image can be removed while a container has it.
    ImagesGo,
    /// An image without a name that a container has cannot be used for another.
    ForgetsImages,
    /// A name without a registry is one at docker.io, and shown as it was given.
    PlainNames,
    /// A container that cannot be removed stays as `dead`, and its files are where dockerd has them.
    DeadContainers,
    /// Its networks are Docker's: links, addresses that somebody set, containers on none, ids that outlive nothing.
    DockersNetworks,
    /// It refuses to make a container with a mount of nothing; else it refuses to start it.
    RefusesMounts,
    /// It tells of an image's health check.
    TellsOfHealthchecks,
    /// It waits longer and longer before it restarts what ends at once.
    WaitsBetweenStarts,
    /// It is not one that every scanner is warned about.
    IsQuiet,
    /// It pauses containers.
    Pauses,
    /// Its containers can have the host's network, and all rights.
    HostsNamespaces,
    /// It tells which network a container was made on, also when the container is on another by now.
    TellsFirstNetwork,
    /// The volumes of an image stay behind; else a container notes them like its own.
    VolumesStay,
}

impl Engine {
    /// Whether it does not have `ability`: the test ends there.
    pub fn lacks(&self, ability: Ability) -> bool {
        let has = self.has(ability);
        if !has && let Some(path) = std::env::var_os("QCSS_ENGINE_LACKS") {
            let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
            // libtest names a test's thread after it.
            let line = format!("{} {ability:?}\n", thread::current().name().unwrap_or_default());
            file.write_all(line.as_bytes()).unwrap();
        }
        !has
    }

    /// Whether it does not have all of `abilities`.
    pub fn lacks_any(&self, abilities: &[Ability]) -> bool {
        abilities.iter().any(|ability| self.lacks(*ability))
    }

    /// Whether it has `ability`, where a test has something else to expect if not.
    pub fn has(&self, ability: Ability) -> bool {
        let info = self.get("/info");
        let says = |field: &str| info[field] != false;
        // Podman looks for the files of version 1, and tells nothing on version 2.
        let limits_cpus = || says("CpuCfsQuota") || (self.is_podman() && info["CgroupVersion"] == "2");
        match ability {
            Ability::LimitsMemory => says("MemoryLimit"),
            Ability::LimitsSwap => says("MemoryLimit") && says("SwapLimit") && !self.is_podman(),
            Ability::LimitsCpus => limits_cpus(),
            Ability::UpdatesLive => says("MemoryLimit") && limits_cpus() && (!self.is_podman() || self.has_update()),
            Ability::UpdatesEnded => says("MemoryLimit") && limits_cpus() && !self.is_podman(),
            Ability::QuotaBesideCpus => limits_cpus() && !self.is_podman(),
            Ability::Pauses => info["CgroupDriver"] != "none",
            Ability::HostsNamespaces => !info["SecurityOptions"].to_string().contains("name=userns"),
            Ability::IsQuiet => !info["SecurityOptions"].to_string().contains("name=rootless"),
            // That of containerd has it as long as the container.
            Ability::ForgetsImages => !info["DriverStatus"].to_string().contains("containerd"),
            // No engine tells of these.
            Ability::TakesVariablesAway
            | Ability::ClientsProxies
            | Ability::Distribution
            | Ability::ImagesGo
            | Ability::PlainNames
            | Ability::DeadContainers
            | Ability::DockersNetworks
            | Ability::RefusesMounts
            | Ability::TellsOfHealthchecks
            | Ability::WaitsBetweenStarts
            | Ability::TellsFirstNetwork
            | Ability::VolumesStay => !self.is_podman(),
        }
    }

    /// The word for a change of limits of a scanner that runs.
    pub fn way_of_limits(&self) -> &'static str {
        if self.has(Ability::UpdatesLive) { "update" } else { "replace" }
    }

    /// Whether this Podman has the call that changes a container: an older one does not know its path.
    fn has_update(&self) -> bool {
        let nobody = format!("/containers/{}/update", "0".repeat(64));
        self.answer(&nobody, &serde_json::json!({})).contains("no such container")
    }
}
