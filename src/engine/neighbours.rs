//! The other containers of the engine, as far as they could be in a scanner's way.

use bollard::models::MountPoint;
use serde::Deserialize;

use super::translate::mounts;
use super::{Engine, Failure};
use crate::scanner::admission::Neighbour;
use crate::scanner::mount::{self, Mount};

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
        for Summary { id, names, mounts: points } in listed {
            let listed = points.map(|points| mounts(Some(&points)));
            let (scanner, mounts) = match listed {
                Some(mounts) if !has_identity(&mounts) => (None, mounts),
                // Listing shows neither environment nor limits, and an older Podman not even mounts.
                _ => {
                    // It may be gone by now, and is no neighbour then.
                    let Some(container) = self.inspect(&id).await? else { continue };
                    let mounts = mounts(container.inspected.mounts.as_ref());
                    let scanner = if has_identity(&mounts) { Some(self.observe(&container).await?) } else { None };
                    (scanner, mounts)
                }
            };
            // The other names of one that others link to have two slashes.
            let names = names.into_iter().flatten().map(|name| name.trim_start_matches('/').to_owned());
            let name = names.min_by_key(|name| name.contains('/')).unwrap_or_default();
            neighbours.push(Neighbour { id, name, scanner, mounts });
        }
        Ok(neighbours)
    }
}

/// Whether something is mounted where a scanner keeps its identity, which makes it one, whoever made it.
fn has_identity(mounts: &[Mount]) -> bool {
    mounts.iter().any(|mount| mount.destination == mount::PRIVATE)
}
