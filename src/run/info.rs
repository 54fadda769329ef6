//! `qcss_scanner_info`: what scanners there are, and what of the host is left. Never changes anything.

use anyhow::Result;
use serde::Serialize;

use super::admission::{ROOTLESS, capacity};
use crate::ansible::result::{Container, Scanner};
use crate::engine::Engine;
use crate::scanner::allocation::{Host, allocations};
use crate::scanner::inventory::{InventoryEntry, inventory};
use crate::scanner::values::name::Name;

/// Said of a scanner with two containers.
const UNFINISHED: &str =
    "a replacement is under way or was interrupted, which the next run of qcss_scanner for it sets right";

/// The result.
#[derive(Debug, Serialize)]
pub struct Info {
    changed: bool,
    msg: String,
    scanners: Vec<Entry>,
    host: Host,
    overcommitted: bool,
    unlimited: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// One scanner, with the keys that `qcss_scanner` has for it.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    container: Container,
    scanner: Scanner,
}

/// Tells of all scanners of the engine, or of the one called `name`; the host's figures count all of them.
pub async fn info<E: Engine>(engine: &E, name: Option<&Name>) -> Result<Info> {
    let about = engine.info().await?;
    let neighbours = engine.neighbours().await?;
    let containers: Vec<_> = neighbours.iter().filter_map(|neighbour| neighbour.scanner.as_ref()).collect();
    let mut all = inventory(&containers);
    all.sort_by_key(|scanner| scanner.name);
    let host = Host::new(&capacity(&about), &allocations(&all));
    let mut warnings: Vec<_> = about.rootless.then(|| ROOTLESS.to_owned()).into_iter().collect();
    let unfinished = all.iter().filter(|scanner| scanner.is_unfinished());
    warnings.extend(unfinished.map(|scanner| format!("{UNFINISHED}: `{}`", scanner.name)));
    let wanted = all.iter().filter(|scanner| name.is_none_or(|name| name.as_str() == scanner.name));
    let scanners: Vec<_> = wanted.map(Entry::from).collect();
    let unlimited = all.iter().map(|scanner| scanner.container.limits);
    Ok(Info {
        changed: false,
        msg: format!("{} of {} scanners", scanners.len(), all.len()),
        scanners,
        host,
        overcommitted: host.is_overcommitted(),
        unlimited: unlimited.filter(|limits| limits.memory.is_none() && limits.cpus.is_none()).count(),
        warnings,
    })
}

impl From<&InventoryEntry<'_>> for Entry {
    fn from(scanner: &InventoryEntry) -> Self {
        let container = scanner.container;
        Self { name: scanner.name.to_owned(), container: Container::from(container), scanner: Scanner::from(container) }
    }
}
