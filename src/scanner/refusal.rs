//! The errors for plans that must not be carried out. Each message says the cause, the cure, then the value.

use super::dependency::{Dependency, Sharing};
use super::desired::{Desired, Request};
use super::observation::Observation;
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

/// Refuses a replacement that would leave the scanner's identity behind, or whose networks an engine would not take.
pub(super) fn refuse_successor(desired: &Desired, observed: &Observed, observation: &Observation) -> Result<()> {
    if observation.leaves_identity && observed.env.value(environment::CODE) == Some(desired.code.expose()) {
        return Err(identity_is_elsewhere(observed, desired));
    }
    refuse_networks(desired, observed, observation)
}

fn refuse_networks(desired: &Desired, observed: &Observed, observation: &Observation) -> Result<()> {
    let moves_to = desired.network.as_deref().filter(|network| !observed.is_on(network));
    if let Some(network @ ("host" | "none")) = moves_to {
        if let Some(further) = observed.network.further().next() {
            return Err(further_network(network, further, observed));
        }
        let is_link = |it: &&Dependency| it.sharing == Sharing::Link;
        if let Some(link) = observed.dependencies.iter().find(is_link).filter(|_| network == "host") {
            return Err(link_beside_host(&link.other, observed));
        }
    }
    let left = moves_to.map(|_| observed.network.made_on.as_str());
    let gone = |name: &&str| Some(*name) != left && observation.networks.get(*name) == Some(&None);
    let names = observed.network.removable().map(|(name, _)| name);
    names.filter(gone).map(|name| Err(network_is_gone(name, observed))).next().unwrap_or(Ok(()))
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

/// Without its code, a scanner's identity stays where it is.
pub fn identity_stays(private_dir: &Directory) -> Error {
    Error::invalid(format!(
        "private_dir without personalization_code must be where the scanner has its identity, which is never moved; \
         leave it out, or give the code, qualys_url and image, got: `{private_dir}`"
    ))
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

/// A container that is gone and that the scanner has something of.
pub(super) fn dependency_is_gone(dependency: &Dependency, observed: &Observed) -> Error {
    let message = format!(
        "the scanner was made with {} of a container that does not exist any more, and the engine would refuse it; make a \
         container of that name again, or remove the scanner `{scanner}` with state=absent (its directories stay) and create \
         it anew: `{}`",
        dependency.sharing.option(),
        dependency.other,
        scanner = observed.name
    );
    Error::new(Kind::Unsupported, message)
}

/// A container that is not up and that the scanner has something of.
pub(super) fn dependency_is_down(dependency: &Dependency, other: &str) -> Error {
    let message = format!(
        "the scanner was made with {} of a container that does not run, and the engine would not start it; start that \
         container first: `{other}`",
        dependency.sharing.option()
    );
    Error::new(Kind::Unsupported, message)
}

/// A network that the scanner is attached to and that is gone.
pub(super) fn network_is_gone(network: &str, observed: &Observed) -> Error {
    let name = &observed.name;
    let message = format!(
        "the scanner is attached to a network that does not exist any more; create it with `docker network create {network}`, \
         or disconnect the scanner with `docker network disconnect --force {network} {name}`: `{network}`"
    );
    Error::new(Kind::Unsupported, message)
}

/// A further network beside one that allows none.
fn further_network(network: &str, further: &str, observed: &Observed) -> Error {
    let name = &observed.name;
    let message = format!(
        "with network={network} a scanner cannot be attached to any other network; disconnect it first with `docker network \
         disconnect {further} {name}`: `{further}`"
    );
    Error::new(Kind::Unsupported, message)
}

/// A link, which the host's network does not allow.
fn link_beside_host(other: &str, observed: &Observed) -> Error {
    let message = format!(
        "with network=host a scanner cannot have a link (--link); remove it first with `docker rm --link {}/ALIAS`, or the \
         scanner with state=absent: `{other}`",
        observed.name
    );
    Error::new(Kind::Unsupported, message)
}
