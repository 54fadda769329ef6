//! What a purge deletes: the scanner's identity directory and nothing else.

use super::desired::Request;
use super::observed::Observed;
use super::values::directory::Directory;
use super::values::environment;
use super::values::mount;
use crate::error::{Error, Result};

/// The directory that a purge would delete, if it can be known.
pub fn purged(request: &Request, observed: Option<&Observed>) -> Result<Option<Directory>> {
    if let Some(identity) = &request.identity {
        return Ok(Some(identity.directory.clone()));
    }
    let Some(observed) = observed else { return Ok(None) };
    let Some(mount) = observed.mount(mount::PRIVATE) else { return Ok(None) };
    let code = observed.env.value(environment::CODE).filter(|code| !code.is_empty());
    if code.is_some_and(|code| mount.source.rsplit('/').next() == Some(code)) {
        return Ok(Some(Directory::parse("private_dir", &mount.source)?));
    }
    Err(Error::invalid(format!(
        "purge deletes <private_dir>/<code> only, and this scanner keeps its identity elsewhere; \
         give personalization_code and private_dir, or delete the directory by hand: `{}`",
        request.name
    )))
}
