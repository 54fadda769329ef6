//! The engine's networks: `GET /networks/{name}`.

use serde::Deserialize;

use super::{Engine, Failure};

/// What the engine takes for its default network, though it has none of this name.
const DEFAULT_NETWORK: &str = "default";

impl Engine {
    /// Whether the engine has a network called exactly `name`; the engine itself would also take an id or its beginning, by
    /// which no container would be known to be on it.
    ///
    /// # Errors
    /// When the engine does not answer properly.
    pub async fn has_network(&self, name: &str) -> Result<bool, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            name: String,
        }
        if name == DEFAULT_NETWORK {
            return Ok(true);
        }
        match self.get::<Answer>(&format!("inspect network `{name}`"), &format!("/networks/{name}")).await {
            Ok(found) => Ok(found.name == name),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}
