//! The engine's containers: `GET /containers/json`.
//!
//! The list is read entry by entry, so that no more of it is kept than is needed, however long it is.

use std::fmt;
use std::io::Read;
use std::marker::PhantomData;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, SeqAccess, Visitor};
use serde_json::json;

use super::answer::MountPoint;
use super::mounts::mounts;
use super::{Docker, Failure, Listed};
use crate::scanner::admission::Neighbour;
use crate::scanner::values::mount::{self, Mount};
use crate::scanner::values::name::Name;

/// More containers than any host has.
const MOST: usize = 1 << 16;

/// What is read of an entry for its name.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    id: String,
    names: Option<Vec<String>>,
}

/// What is read of an entry for what it uses.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    id: String,
    names: Option<Vec<String>>,
    state: Option<String>,
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
            listed.push((id, name, is_up, points.map(|points| mounts(&points))));
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
            neighbours.push(Neighbour { id, name, scanner, is_up, mounts, borrowed });
        }
        Ok(neighbours)
    }

    /// Gives each entry of the list at `path` to `take`.
    async fn list<T: DeserializeOwned>(&self, path: &str, take: impl FnMut(T)) -> Result<(), Failure> {
        let listing = async { read_list(self.transport.list(path).await?, take) };
        self.ask("list the containers", listing).await
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

/// Gives each entry of a JSON array to `take`.
fn read_list<T: DeserializeOwned>(json: impl Read, mut take: impl FnMut(T)) -> Result<(), Failure> {
    let mut count = 0;
    let counted = |entry| {
        count += 1;
        take(entry);
        count < MOST
    };
    let mut json = serde_json::Deserializer::from_reader(json);
    let entries = Entries { take: counted, entry: PhantomData };
    match json.deserialize_seq(entries).and_then(|()| json.end()) {
        Ok(()) => Ok(()),
        Err(_) if count >= MOST => Err(Failure::TooLarge),
        Err(_) => Err(Failure::Garbled),
    }
}

/// Reads a list entry by entry.
struct Entries<T, F> {
    take: F,
    entry: PhantomData<T>,
}

impl<'de, T: DeserializeOwned, F: FnMut(T) -> bool> Visitor<'de> for Entries<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of containers")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while let Some(entry) = entries.next_element()? {
            if !(self.take)(entry) {
                return Err(serde::de::Error::custom("too many containers"));
            }
        }
        Ok(())
    }
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

    #[test]
    fn a_list_is_read_to_its_end_and_no_further() {
        let read = |json: &str| {
            let mut ids = Vec::new();
            read_list(json.as_bytes(), |Named { id, .. }| ids.push(id)).map(|()| ids)
        };
        assert_eq!(
            read(r#"[{"Id": "1", "New": {"a": []}}, {"Id": "2", "Names": null}]"#),
            Ok(vec!["1".into(), "2".into()])
        );
        for garbled in ["", "{}", "[{}]", r#"[{"Id": "1"}"#, r#"[{"Id": "1"}] x"#] {
            assert_eq!(read(garbled), Err(Failure::Garbled), "{garbled}");
        }
        assert_eq!(read(&format!("[{}]", vec![r#"{"Id":""}"#; MOST + 1].join(","))), Err(Failure::TooLarge));
    }
}
