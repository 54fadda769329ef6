//! The engine's networks: `GET /networks/{name}`.

use serde::Deserialize;

use super::{Docker, Failure};

/// The name that engines accept for their default network, though no network has it.
const DEFAULT_NETWORK: &str = "default";

/// What Podman takes for a network and does not list as one: the host's, none at all, and its default one.
const PODMANS: &[&str] = &["host", "none", "bridge"];

impl Docker {
    /// Only the exact name counts. The engine would also accept an id or a prefix of one, but containers list networks by name.
    pub(super) async fn network_id(&self, name: &str) -> Result<Option<String>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            name: String,
            id: Option<String>,
        }
        if name == DEFAULT_NETWORK {
            return Ok(Some(String::new()));
        }
        let path = format!("/networks/{name}");
        match self.ask::<Answer>(&format!("inspect network `{name}`"), self.transport.get(&path)).await {
            Ok(found) => Ok((found.name == name).then(|| found.id.unwrap_or_default())),
            Err(failure) if failure.is_not_found() => {
                Ok((self.transport.is_podman() && PODMANS.contains(&name)).then(String::new))
            }
            Err(failure) => Err(failure),
        }
    }
}
