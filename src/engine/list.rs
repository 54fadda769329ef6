//! The engine's containers: `GET /containers/json`.
//!
//! Of each entry no more is kept than is needed ([`super::entries`]).

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::answer::{MountPoint, few};
use super::mounts::mounts;
use super::transport::read;
use super::{Docker, Failure, Listed};
use crate::scanner::admission::Neighbour;
use crate::scanner::values::mount::{self, Mount};
use crate::scanner::values::name::Name;

/// More containers and mounts than any host has.
const MOST: usize = 1 << 16;

/// What is read of an entry for its name.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    id: String,
    #[serde(default, deserialize_with = "few")]
    names: Option<Vec<String>>,
}

/// What is read of an entry for what it uses.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    id: String,
    #[serde(default, deserialize_with = "few")]
    names: Option<Vec<String>>,
    state: Option<String>,
    #[serde(default, deserialize_with = "few")]
    mounts: Option<Vec<MountPoint>>,
}

impl Docker {
    pub(super) async fn list_named(&self, names: &[&Name]) -> Result<Vec<Listed>, Failure> {
        // One filter costs the engine less than the whole list, many filters cost more.
        let path = match names {
            [name] => format!("/containers/json?all=true&filters={}", filter(name)),
            _ => "/containers/json?all=true".to_owned(),
        };
        let wanted: Vec<_> =
            names.iter().flat_map(|name| [name.as_str().to_owned(), name.incoming(), name.outgoing()]).collect();
        let mut listed = Vec::new();
        self.list(&path, |Named { id, names }| {
            // An alias that a link gives has a second slash: `/other/alias`.
            let name = names.into_iter().flatten().find_map(|name| {
                let name = name.strip_prefix('/').unwrap_or(&name);
                wanted.iter().find(|wanted| *wanted == name).cloned()
            });
            listed.extend(name.map(|name| Listed { id, name }));
            1
        })
        .await?;
        Ok(listed)
    }

    pub(super) async fn list_neighbours(&self) -> Result<Vec<Neighbour>, Failure> {
        let mut listed = Vec::new();
        self.list("/containers/json?all=true", |Summary { id, names, state, mounts: points }| {
            let names = names.into_iter().flatten().map(|name| name.trim_start_matches('/').to_owned());
            // The aliases that links give have a slash in the middle.
            let name = names.min_by_key(|name| name.contains('/')).unwrap_or_default();
            let is_up = matches!(state.as_deref(), Some("running" | "paused" | "restarting"));
            let points = points.map(|points| mounts(&points));
            let count = 1 + points.as_ref().map_or(0, Vec::len);
            listed.push((id, name, is_up, points));
            count
        })
        .await?;
        let mut neighbours = Vec::with_capacity(listed.len());
        for (id, name, is_up, mounted) in listed {
            let (scanner, mounts, borrowed) = match mounted {
                Some(mounts) if !has_identity(&mounts) => (None, mounts, Vec::new()),
                // A list shows neither environment nor limits, and that of an older Podman not even mounts.
                _ => {
                    // It may be gone by now.
                    let Some(container) = self.inspect_container(&id).await? else { continue };
                    let mounts = mounts(container.inspected.mounts.as_deref().unwrap_or_default());
                    if has_identity(&mounts) {
                        let mut observed = self.observe(&container).await?;
                        let mounts = observed.mounts.clone();
                        let borrowed = std::mem::take(&mut observed.borrowed);
                        (Some(observed).filter(|_| has_identity(&mounts)), mounts, borrowed)
                    } else {
                        (None, mounts, Vec::new())
                    }
                }
            };
            // A list has no word for one that is between two starts on Podman.
            let is_up = scanner.as_ref().map_or(is_up, |it| it.status.is_up());
            neighbours.push(Neighbour { id, name, scanner, is_up, mounts, borrowed });
        }
        Ok(neighbours)
    }

    /// Gives each entry of the list at `path` to `take`, which says how much it is.
    async fn list<T: DeserializeOwned>(&self, path: &str, mut take: impl FnMut(T) -> usize) -> Result<(), Failure> {
        let mut count = 0;
        let mut counted = |entry: &[u8]| {
            count += take(read(entry)?);
            if count < MOST { Ok(()) } else { Err(Failure::TooLarge) }
        };
        self.ask("list the containers", self.transport.list(path, &mut counted)).await
    }
}

/// The filter for the names that the containers of the scanner `name` may have, as a part of a URL. To the engine it is a
/// regular expression, in which `.` is the only special character that a name can have.
fn filter(name: &Name) -> String {
    let name = name.as_str().replace('.', r"\.");
    let filters = json!({"name": [format!(r"^/?{name}(\.qcss-(old|new))?$")]});
    utf8_percent_encode(&filters.to_string(), NON_ALPHANUMERIC).to_string()
}

/// Whether something is mounted where a scanner has its identity, which makes it a scanner, whoever created it.
fn has_identity(mounts: &[Mount]) -> bool {
    mounts.iter().any(|mount| mount.destination == mount::PRIVATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_for_exactly_the_names_of_one_scanner() {
        let filter = filter(&Name::parse("a.b-c").unwrap());
        let plain = percent_encoding::percent_decode_str(&filter).decode_utf8().unwrap();
        assert_eq!(plain, r#"{"name":["^/?a\\.b-c(\\.qcss-(old|new))?$"]}"#);
        assert!(filter.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'%'), "{filter}");
    }
}
