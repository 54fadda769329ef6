//! For tests: the scanner that [`crate::testing::request`] describes, as the vendor's command makes it, and methods that change
//! one thing about it.

use std::collections::BTreeMap;

use super::attachment::Attachment;
use super::engine_traits::EngineTraits;
use super::observation::{Observation, OnHost};
use super::observed::{Observed, Status};
use super::values::directory::Mode;
use super::values::environment::Environment;
use super::values::image::{Brought, WantedImage};
use super::values::limits::{ActualLimits, Cpus, GivenCpus, MemorySwap};
use super::values::mount::{self, Mount};
use super::values::restart_policy::RestartPolicy;

/// The id of the image that [`by_hand`] was made from.
const IMAGE_ID: &str = "sha256:1111";

/// `docker run -d` with both mounts, code and URL, nothing else.
pub(crate) fn by_hand() -> Observed {
    let entries =
        ["PATH=/bin", "VERSION=1", "PERSONALIZATION_CODE=code-4711", "QUALYS_URL=https://qualysguard.qualys.com"];
    Observed {
        id: "old".to_owned(),
        name: "scanner".to_owned(),
        image: "qualys/qcsa".to_owned(),
        image_id: IMAGE_ID.to_owned(),
        status: Status::Running,
        started_at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        finished_at: None,
        exit_code: 0,
        restart_count: 0,
        limits: ActualLimits::default(),
        env: environment(&entries),
        image_env: Some(image_env()),
        client_env: Environment::default(),
        mounts: vec![
            Mount::new("/usr/qualys/shared", mount::SHARED, true, "z"),
            Mount::new("/usr/qualys/private/code-4711", mount::PRIVATE, true, "z"),
        ],
        borrowed: Vec::new(),
        volumes: Vec::new(),
        noted_volumes: Vec::new(),
        restart_policy: RestartPolicy::No,
        privileged: false,
        network: made_on("bridge"),
        dependencies: Vec::new(),
        labels: [("vendor".to_owned(), "stand-in".to_owned())].into(),
        auto_remove: false,
        stop_timeout: None,
        replaces: None,
        podman: false,
    }
}

/// The image that the task means, when it is the one that [`by_hand`] was made from.
pub fn same_image() -> WantedImage {
    local(IMAGE_ID, image_env())
}

/// An observation of `observed` on a host that has the task's image and every directory, each with the mode 0755.
pub fn observation(observed: Option<Observed>) -> Observation {
    let directory = OnHost::Directory(Mode::from_bits(0o755));
    Observation {
        observed,
        stranger: None,
        image: Some(same_image()),
        engine: EngineTraits::default(),
        shared_dir: directory,
        identity_dir: directory,
        leaves_identity: false,
        ca_dir: directory,
        networks: BTreeMap::new(),
    }
}

/// Another image, which brings other variables.
pub fn newer_image() -> WantedImage {
    local("sha256:2222", environment(&["PATH=/bin", "VERSION=2", "NEW=1"]))
}

fn local(id: &str, env: Environment) -> WantedImage {
    WantedImage::Local { id: id.to_owned(), brought: Brought { env, ..Brought::default() } }
}

/// Attached to the network called `name` and to no other.
pub fn made_on(name: &str) -> Attachment {
    let (made_on, networks) = (name.to_owned(), [(name.to_owned(), String::new())].into());
    Attachment { made_on, is_detachable: true, networks }
}

pub fn environment(entries: &[&str]) -> Environment {
    Environment::from_entries(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>())
}

fn image_env() -> Environment {
    environment(&["PATH=/bin", "VERSION=1"])
}

impl Observed {
    pub(crate) fn with_status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// With this variable, instead of its old value where it has one.
    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.set(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        let left: Vec<_> =
            self.env.to_entries().into_iter().filter(|it| !it.starts_with(&format!("{name}="))).collect();
        self.env = Environment::from_entries(&left);
        self
    }

    /// With this mount, instead of what is at its destination; `mode` as in `docker run -v`.
    pub(crate) fn with_mount(mut self, source: &str, destination: &str, mode: &str) -> Self {
        let mount = Mount::new(source, destination, !mode.split(',').any(|flag| flag == "ro"), mode);
        self = self.without_mount(&mount.destination);
        self.mounts.push(mount);
        self
    }

    pub(crate) fn without_mount(mut self, destination: &str) -> Self {
        self.mounts.retain(|mount| mount.destination != destination);
        self
    }

    /// Bytes, as the engine reports them: -1 for unlimited swap, 0 for no limit.
    pub(crate) fn limited(mut self, memory: u64, memory_swap: i64, nano_cpus: u64) -> Self {
        self.limits.memory = Some(memory).filter(|memory| *memory > 0);
        self.limits.memory_swap =
            self.limits.memory.map(|_| u64::try_from(memory_swap).map_or(MemorySwap::Unlimited, MemorySwap::Bytes));
        self.limits.cpus = Some(Cpus::from_nano(nano_cpus)).filter(|_| nano_cpus > 0);
        self
    }

    /// With CPUs in the kernel's terms, in microseconds.
    pub(crate) fn quota(self, quota: i64, period: u64) -> Self {
        self.given_cpus(0, quota, period)
    }

    pub(crate) fn given_cpus(mut self, nano: u64, quota: i64, period: u64) -> Self {
        self.limits = self.limits.with_cpus(GivenCpus { nano, quota, period });
        self
    }

    /// With a memory reservation, in bytes.
    pub(crate) fn reserved(mut self, bytes: u64) -> Self {
        self.limits.memory_reservation = Some(bytes);
        self
    }

    pub(crate) fn with_network(self, network: &str) -> Self {
        Self { network: made_on(network), ..self }
    }

    pub(crate) fn with_policy(self, restart_policy: RestartPolicy) -> Self {
        Self { restart_policy, ..self }
    }

    pub(crate) fn with_label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn privileged(self) -> Self {
        Self { privileged: true, ..self }
    }

    pub(crate) fn with_image(self, image: &str, image_id: &str) -> Self {
        Self { image: image.to_owned(), image_id: image_id.to_owned(), ..self }
    }

    pub(crate) fn image_gone(self) -> Self {
        Self { image_env: None, ..self }
    }

    pub(crate) fn removed_when_stopped(self) -> Self {
        Self { auto_remove: true, ..self }
    }

    /// As Podman reports the same scanner.
    pub(crate) fn on_podman(mut self) -> Self {
        for mount in &mut self.mounts {
            mount.relabel = false;
        }
        self.podman = true;
        self.with_env("container", "podman")
            .with_env("TERM", "xterm")
            .with_env("HOSTNAME", "0123456789ab")
            .with_env("HOME", "/root")
    }
}
