//! `qcss_scanner_info`: lists the scanners, and what is left of the host. Never changes anything.

use anyhow::Result;

use super::admission::{ROOTLESS, capacity};
use crate::engine::Engine;
use crate::scanner::allocation::{Host, allocations};
use crate::scanner::inventory::{InventoryEntry, inventory};
use crate::scanner::observed::Observed;
use crate::scanner::values::name::Name;

/// The warning for a scanner with two containers.
const UNFINISHED: &str = "a replacement is under way or was interrupted; the next run of qcss_scanner for this scanner finishes it or rolls it back";

/// What `qcss_scanner_info` found.
#[derive(Debug)]
pub struct Info {
    /// The requested scanners, sorted by name.
    pub scanners: Vec<FoundScanner>,
    /// How many scanners the engine has.
    pub total: usize,
    /// How many of them have no limits.
    pub unlimited: usize,
    /// The host's figures, with all of them on it.
    pub host: Host,
    /// Warnings for people.
    pub warnings: Vec<String>,
}

/// One scanner of the engine.
#[derive(Debug)]
pub struct FoundScanner {
    /// Its own name, also where its container has a temporary one.
    pub name: String,
    /// Its container.
    pub container: Observed,
}

/// All scanners of the engine, or the one called `name`; the host's figures count all of them.
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
    let unlimited = all.iter().map(|scanner| scanner.container.limits);
    Ok(Info {
        scanners: wanted.map(FoundScanner::from).collect(),
        total: all.len(),
        unlimited: unlimited.filter(|limits| limits.memory.is_none() && limits.cpus.is_none()).count(),
        host,
        warnings,
    })
}

impl From<&InventoryEntry<'_>> for FoundScanner {
    fn from(scanner: &InventoryEntry) -> Self {
        Self { name: scanner.name.to_owned(), container: scanner.container.clone() }
    }
}
