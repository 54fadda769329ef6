//! The other containers of the engine, as far as they could be in a scanner's way.

use bollard::models::MountPoint;
use serde::Deserialize;

use super::translate::{mounts, remember_code_in};
use super::{Engine, Failure};
use crate::scanner::admission::Neighbour;
use crate::scanner::mount;

/// One container of the list, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    id: String,
    names: Option<Vec<String>>,
    mounts: Option<Vec<MountPoint>>,
}

impl Engine {
    /// All containers, running or not. Of scanners, whoever made them, everything; what is secret in it is remembered.
    ///
    /// # Errors
    /// When the engine does not answer properly.
    pub async fn neighbours(&self) -> Result<Vec<Neighbour>, Failure> {
        let listed: Vec<Summary> = self.get("list the containers", "/containers/json?all=true").await?;
        let mut neighbours = Vec::with_capacity(listed.len());
        for summary in listed {
            let mounts = mounts(summary.mounts.as_ref());
            let private = mounts.iter().find(|mount| mount.destination == mount::PRIVATE);
            private.into_iter().for_each(remember_code_in);
            // Listing shows neither environment nor limits. It may be gone by now, and is no neighbour then.
            let scanner = match private {
                Some(_) => self.look_at(&summary.id).await?,
                None => None,
            };
            let name = summary.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
            neighbours.push(Neighbour {
                id: summary.id,
                name: name.trim_start_matches('/').to_owned(),
                scanner,
                mounts,
            });
        }
        Ok(neighbours)
    }
}
