//! What an engine says of itself and its host: `GET /info`.

use serde::Deserialize;

use super::{Engine, Failure};

/// What an engine says of itself and its host.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Mounts are labelled.
    pub labels_enforced: bool,
    /// Swap can be limited.
    pub swap_accounting: bool,
    /// CPUs of the host.
    pub cpus: u32,
    /// Bytes of memory of the host.
    pub memory: u64,
    /// The engine runs without root, which the vendor advises against.
    pub rootless: bool,
}

impl Engine {
    /// What the engine says of itself.
    ///
    /// # Errors
    /// When the engine does not answer properly.
    pub async fn info(&self) -> Result<Info, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(rename = "NCPU")]
            cpus: Option<u32>,
            mem_total: Option<u64>,
            swap_limit: Option<bool>,
            security_options: Option<Vec<String>>,
        }
        let answer: Answer = self.get("ask the engine about its host", "/info").await?;
        let has = |name: &str| answer.security_options.iter().flatten().any(|option| option.contains(name));
        Ok(Info {
            labels_enforced: has("name=selinux"),
            rootless: has("name=rootless"),
            memory: answer.mem_total.unwrap_or(u64::MAX),
            swap_accounting: answer.swap_limit.unwrap_or(true),
            cpus: answer.cpus.unwrap_or(u32::MAX),
        })
    }
}
