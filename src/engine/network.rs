//! The engine's networks: `GET /networks/{name}`.

use serde::Deserialize;

use super::{Docker, Failure};

/// What the engine takes for its default network, though it has none of this name.
const DEFAULT_NETWORK: &str = "default";

impl Docker {
    /// The engine itself would also take an id or its beginning, by which no container would be known to be on it.
    pub(super) async fn knows_network(&self, name: &str) -> Result<bool, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            name: String,
        }
        if name == DEFAULT_NETWORK {
            return Ok(true);
        }
        let path = format!("/networks/{name}");
        match self.ask::<Answer>(&format!("inspect network `{name}`"), self.transport.get(&path)).await {
            Ok(found) => Ok(found.name == name),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}
