//! `qcss_scanner_info`: what scanners there are, and what of the host is left. Never changes anything.

use serde::Serialize;

use super::Settings;
use super::admit::{ROOTLESS, capacity};
use crate::engine::Engine;
use crate::error::Result;
use crate::report::{Container, Scanner};
use crate::scanner::capacity::{Host, shares};
use crate::scanner::name::Name;
use crate::scanner::observed::Observed;

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
///
/// # Errors
/// When the engine does not answer properly.
pub async fn info(settings: &Settings, name: Option<&Name>) -> Result<Info> {
    let engine = Engine::connect(settings.docker_host.clone(), settings.timeout).await?;
    let about = engine.info().await.map_err(|failure| failure.into_error(engine.host()))?;
    let neighbours = engine.neighbours().await.map_err(|failure| failure.into_error(engine.host()))?;
    let mut all: Vec<Observed> = neighbours.into_iter().filter_map(|neighbour| neighbour.scanner).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let host = Host::new(&capacity(&about), &shares(&all.iter().collect::<Vec<_>>()));
    let wanted = all.iter().filter(|observed| name.is_none_or(|name| name.as_str() == observed.name));
    let scanners: Vec<_> = wanted.map(Entry::from).collect();
    Ok(Info {
        changed: false,
        msg: format!("{} of {} scanners", scanners.len(), all.len()),
        scanners,
        host,
        overcommitted: host.is_overcommitted(),
        unlimited: all
            .iter()
            .filter(|observed| observed.limits.memory.is_none() && observed.limits.cpus.is_none())
            .count(),
        warnings: about.rootless.then(|| ROOTLESS.to_owned()).into_iter().collect(),
    })
}

impl From<&Observed> for Entry {
    fn from(observed: &Observed) -> Self {
        Self { name: observed.name.clone(), container: Container::from(observed), scanner: Scanner::from(observed) }
    }
}
