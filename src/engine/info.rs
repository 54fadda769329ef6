//! The properties of an engine and its host: `GET /info`.

use serde::Deserialize;

use super::{Docker, Failure};

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
    /// The engine's own directory on the host (`DockerRootDir`), which also tells engines apart; empty where it does not say.
    pub root_dir: String,
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
        }
        let answer: Answer = self.ask("ask the engine about its host", self.transport.get("/info")).await?;
        let has = |name: &str| answer.security_options.iter().flatten().any(|option| option.contains(name));
        Ok(Info {
            labels_enforced: has("name=selinux"),
            rootless: has("name=rootless"),
            memory: answer.mem_total.unwrap_or(u64::MAX),
            swap_accounting: answer.swap_limit.unwrap_or(true),
            cpus: answer.cpus.unwrap_or(u32::MAX),
            root_dir: answer.docker_root_dir.unwrap_or_default(),
        })
    }
}
