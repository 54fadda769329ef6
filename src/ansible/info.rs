//! The result of `qcss_scanner_info`.

use serde::Serialize;

use super::reply::Reply;
use super::result::{Container, Scanner};
use crate::run::info::{FoundScanner, Info};
use crate::scanner::allocation::Host;

/// The keys of the result.
#[derive(Serialize)]
struct Body<'a> {
    changed: bool,
    msg: String,
    scanners: Vec<Entry<'a>>,
    host: Host,
    overcommitted: bool,
    unlimited: usize,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

/// One scanner, with the keys that `qcss_scanner` has for it.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    container: Container,
    scanner: Scanner,
}

/// The reply to Ansible.
pub fn reply(info: &Info) -> Reply {
    let Info { scanners, total, unlimited, host, warnings } = info;
    Reply::new(&Body {
        changed: false,
        msg: format!("{} of {total} scanners", scanners.len()),
        scanners: scanners.iter().map(Entry::from).collect(),
        host: *host,
        overcommitted: host.is_overcommitted(),
        unlimited: *unlimited,
        warnings,
    })
}

impl<'a> From<&'a FoundScanner> for Entry<'a> {
    fn from(found: &'a FoundScanner) -> Self {
        let container = &found.container;
        Self { name: &found.name, container: Container::from(container), scanner: Scanner::from(container) }
    }
}
