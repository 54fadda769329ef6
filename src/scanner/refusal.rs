//! The errors for plans that must not be carried out. Each message says the cause, the cure, then the value.

use super::desired::{Desired, Request};
use super::observed::{Observed, Status};
use super::policy::Policy;
use super::values::directory::Directory;
use super::values::environment;
use super::values::mount;
use crate::error::{Error, Kind, Result};
use crate::scanner::policy::Recreate;

/// Refuses a container that is not a scanner, or that the engine is removing.
pub(super) fn refuse_others(observed: &Observed) -> Result<()> {
    if !observed.is_scanner() {
        return Err(Error::new(
            Kind::NotAScanner,
            format!(
                "a container of this name exists and is not a Qualys scanner (no mount at {}, no {}); \
                 choose another name, or remove that container yourself: `{}`",
                mount::PRIVATE,
                environment::CODE,
                observed.name
            ),
        ));
    }
    if observed.status == Status::Removing {
        let message =
            format!("the engine is removing the scanner; run the task again when it is gone: `{}`", observed.name);
        return Err(Error::new(Kind::EngineError, message));
    }
    Ok(())
}

/// Refuses a replacement that needs a name which another container has.
pub fn stranger(name: &str) -> Error {
    let message = format!(
        "another container has a name that this module needs for replacements; rename or remove that container: `{name}`"
    );
    Error::new(Kind::AlreadyInUse, message)
}

/// Refuses a replacement because of `fields` where the task forbids it, or where it could not be undone.
pub(super) fn refuse_replacement(policy: &Policy, observed: &Observed, fields: &[&str]) -> Result<()> {
    if observed.auto_remove {
        let what = if fields.is_empty() { "recreate" } else { &fields.join(", ") };
        return Err(vanishes(observed, &format!("a replacement ({what}) that fails could not be undone")));
    }
    if policy.recreate == Recreate::Never {
        return Err(Error::new(
            Kind::NeedsReplacement,
            format!(
                "recreate=never, but the scanner must be replaced to change {}; allow it with recreate=auto: `{}`",
                fields.join(", "),
                observed.name
            ),
        ));
    }
    Ok(())
}

/// A scanner that an engine removes as soon as it stops: `why` it cannot be as desired.
pub(super) fn vanishes(observed: &Observed, why: &str) -> Error {
    let message = format!(
        "the scanner was started with --rm, so that {why}; remove it first with state=absent, and let the next task make it \
         anew: `{}`",
        observed.name
    );
    Error::new(Kind::NeedsReplacement, message)
}

/// There is no scanner, and the task does not have the options to create one.
pub(super) fn no_such_scanner(request: &Request) -> Error {
    Error::invalid(format!(
        "there is no scanner of this name, and without personalization_code, qualys_url and image none can be created; \
         give all three: `{}`",
        request.name
    ))
}

/// The path of `option` is not a directory, or must exist and does not.
pub(super) fn no_directory(option: &str, path: &Directory) -> Error {
    let cure = if option == "ca_dir" {
        "create it and put the root CA there"
    } else {
        "move what is there, or choose another path"
    };
    Error::invalid(format!("{option} must be a directory on the Docker host; {cure}: `{path}`"))
}

/// The scanner's container mounts something else in the place of its identity directory.
pub(super) fn identity_is_no_directory(observed: &Observed) -> Error {
    let folder = mount::PRIVATE;
    Error::invalid(format!(
        "the directory that the scanner has mounted at {folder} is a link or no directory now, so that it would start with \
         another identity; put the directory back in its place: `{}`",
        observed.name
    ))
}

/// A replacement would find no identity in its directory, while the old container has one elsewhere.
pub(super) fn identity_is_elsewhere(observed: &Observed, desired: &Desired) -> Error {
    let elsewhere = observed.mount(mount::PRIVATE).map(|mount| mount.source.as_str()).unwrap_or_default();
    Error::new(
        Kind::AlreadyInUse,
        format!(
            "the scanner keeps its identity in `{elsewhere}`, and without it would have to register anew, which its code \
             allows only once; stop the scanner and copy the content of that directory to \
             <private_dir>/<personalization_code> first, or give the private_dir that it is in, got: `{}`",
            desired.private_dir
        ),
    )
}

/// A scanner that its engine could not remove.
pub(super) fn dead(observed: &Observed) -> Error {
    let message = format!(
        "the engine tried to remove the scanner, could not, and will not start it again; give personalization_code, \
         qualys_url and image to replace it, or remove it with state=absent: `{}`",
        observed.name
    );
    Error::new(Kind::NeedsReplacement, message)
}
