//! Observes what the engine and the host have of one scanner.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::engine::{Engine, Failure, Listed};
use crate::host::{docker_config, paths};
use crate::scanner::desired::{Desired, Request};
use crate::scanner::engine_traits::EngineTraits;
use crate::scanner::observation::{Observation, OnHost};
use crate::scanner::observed::{Observed, Status};
use crate::scanner::policy::State;
use crate::scanner::purge::purged;
use crate::scanner::refusal;
use crate::scanner::replacement::Containers;
use crate::scanner::values::directory::Directory;
use crate::scanner::values::image::WantedImage;
use crate::scanner::values::mount;
use crate::scanner::values::name::Name;

/// `SELinux`'s control files; without them no engine on this host labels mounts.
const SELINUX: &str = "/sys/fs/selinux/enforce";
/// Between two observations of containers that change meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// The containers of the scanner `name`. Waits for one that the engine is removing, at most `timeout`.
pub async fn containers<E: Engine>(engine: &E, name: &Name, timeout: Duration) -> Result<Containers, Failure> {
    let listed = engine.containers(&[name]).await?;
    containers_of(engine, name, listed, timeout).await
}

/// The same when the engine has already `listed` its containers.
pub async fn containers_of<E: Engine>(
    engine: &E,
    name: &Name,
    mut listed: Vec<Listed>,
    timeout: Duration,
) -> Result<Containers, Failure> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(containers) = inspected(engine, name, &listed).await? {
            let is_going = containers.current.as_ref().is_some_and(|current| current.status == Status::Removing);
            if !is_going || Instant::now() >= deadline {
                return Ok(containers);
            }
        } else if Instant::now() >= deadline {
            return Err(Failure::TimedOut(timeout).during("observe the scanner, whose containers keep changing"));
        }
        sleep(PAUSE).await;
        listed = engine.containers(&[name]).await?;
    }
}

/// Each of the `listed` containers; `None` when one is gone or was renamed meanwhile.
async fn inspected<E: Engine>(engine: &E, name: &Name, listed: &[Listed]) -> Result<Option<Containers>, Failure> {
    let mut containers = Containers::default();
    let slots = [
        (name.as_str().to_owned(), &mut containers.current),
        (name.incoming(), &mut containers.incoming),
        (name.outgoing(), &mut containers.outgoing),
    ];
    for (name, slot) in slots {
        let Some(listed) = listed.iter().find(|it| it.name == name) else { continue };
        match engine.inspect(&listed.id).await? {
            Some(container) if container.name == name => *slot = Some(container),
            _ => return Ok(None),
        }
    }
    Ok(Some(containers))
}

/// What a plan for `request` depends on, where `observed` has the scanner's name and `containers` are all of its containers.
/// The image is left to the caller, which decides about pulling.
pub async fn observation<E: Engine>(
    engine: &E,
    request: &Request,
    observed: Option<Observed>,
    containers: &Containers,
) -> Result<Observation> {
    refuse_moved_identity(request, observed.as_ref())?;
    let desired = request.desired_for(observed.as_ref())?;
    let observed = observed.map(|observed| as_spelled(observed, desired.as_ref()));
    let observed = observed.map(|observed| with_client_env(observed, desired.as_ref(), &engine.docker_host()));
    let traits = engine_traits(engine, desired.as_ref(), observed.as_ref()).await?;
    let look = |path: Option<&Directory>| path.map_or(Ok(OnHost::Missing), |path| paths::look(path.as_path()));
    let identity_dir = look_at_identity(request, observed.as_ref())?;
    Ok(Observation {
        stranger: containers.stranger().map(|it| it.name.clone()),
        image: desired.as_ref().filter(|it| it.kept.contains("image")).map(|_| WantedImage::Kept),
        engine: traits,
        shared_dir: look(desired.as_ref().map(|desired| &desired.shared_dir))?,
        identity_dir,
        leaves_identity: desired
            .as_ref()
            .zip(observed.as_ref())
            .is_some_and(|(it, observed)| leaves_identity(it, observed)),
        ca_dir: look(desired.as_ref().and_then(|desired| desired.ca_dir.as_ref()))?,
        networks: BTreeMap::new(),
        observed,
    })
}

/// Refuses a `private_dir` beside no code, unless it leads to where the scanner has its identity.
fn refuse_moved_identity(request: &Request, observed: Option<&Observed>) -> Result<()> {
    let private_dir = request.adjustment.as_ref().and_then(|given| given.private_dir.as_ref());
    let (Some(private_dir), Some(observed)) = (private_dir, observed.filter(|it| it.is_scanner())) else {
        return Ok(());
    };
    let folder = observed.mount(mount::PRIVATE).and_then(|it| Path::new(&it.source).parent());
    if folder.is_some_and(|folder| paths::is_same(folder, private_dir.as_path())) {
        return Ok(());
    }
    Err(refusal::identity_stays(private_dir).into())
}

/// The container, in which a mount that leads to the same directory as the path of the task has that path.
fn as_spelled(mut observed: Observed, desired: Option<&Desired>) -> Observed {
    let Some(desired) = desired else { return observed };
    let identity_dir = desired.identity_dir();
    let wanted = |destination: &str| match destination {
        mount::SHARED => Some(&desired.shared_dir),
        mount::PRIVATE => Some(&identity_dir),
        mount::CA => desired.ca_dir.as_ref(),
        _ => None,
    };
    for mount in &mut observed.mounts {
        if let Some(path) =
            wanted(&mount.destination).filter(|path| paths::is_same(Path::new(&mount.source), path.as_path()))
        {
            path.as_str().clone_into(&mut mount.source);
        }
    }
    observed
}

/// The identity directory that the task is about.
fn look_at_identity(request: &Request, observed: Option<&Observed>) -> Result<OnHost> {
    let policy = &request.policy;
    let directory = match &request.identity {
        Some(identity) => Some(identity.directory.clone()),
        None if policy.purge => purged(request, observed)?,
        None => observed
            .and_then(|it| it.mount(mount::PRIVATE))
            .and_then(|it| Directory::parse("private_dir", &it.source).ok()),
    };
    let Some(directory) = directory else { return Ok(OnHost::Missing) };
    match paths::look_unfollowed(&directory)? {
        OnHost::Missing if policy.state == State::Absent && policy.purge && paths::is_unfinished(&directory) => {
            Ok(OnHost::HalfPurged)
        }
        found => Ok(found),
    }
}

fn leaves_identity(desired: &Desired, observed: &Observed) -> bool {
    let identity_dir = desired.identity_dir();
    let Some(mount) = observed.mount(mount::PRIVATE).filter(|it| it.source != identity_dir.as_str()) else {
        return false;
    };
    let is_there = paths::is_empty(identity_dir.as_path()) == Some(false);
    !is_there && paths::is_empty(Path::new(&mount.source)) != Some(true)
}

/// Tells what of the environment the docker command put there; its configuration is read only where that is in question.
fn with_client_env(observed: Observed, desired: Option<&Desired>, docker_host: &str) -> Observed {
    let Some(desired) = desired else { return observed };
    let foreign = observed.env.foreign_proxies(observed.image_env.as_ref(), &desired.variables());
    if foreign.is_empty() {
        return observed;
    }
    Observed { client_env: foreign.common_with(&docker_config::proxies(docker_host)), ..observed }
}

/// Of the networks of `observed`, the ones that may have been removed meanwhile, by name, each with the id that it has now.
pub async fn networks<E: Engine>(
    engine: &E,
    observed: Option<&Observed>,
) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let mut networks = BTreeMap::new();
    // An engine does not remove a network while a container on it is up.
    for (name, _) in observed.filter(|it| !it.status.is_up()).into_iter().flat_map(|it| it.network.removable()) {
        networks.insert(name.to_owned(), engine.network(name).await?);
    }
    Ok(networks)
}

/// The engine is asked only where its answer could turn a difference into none.
async fn engine_traits<E: Engine>(
    engine: &E,
    desired: Option<&Desired>,
    observed: Option<&Observed>,
) -> Result<EngineTraits, Failure> {
    let Some(desired) = desired else { return Ok(EngineTraits::default()) };
    let Some(observed) = observed else { return Ok(engine.info().await?.traits) };
    let unlabelled = |it: &mount::Mount| {
        !it.relabel && [mount::SHARED, mount::PRIVATE, mount::CA].contains(&it.destination.as_str())
    };
    let labels_in_doubt = !observed.podman && observed.mounts.iter().any(unlabelled) && Path::new(SELINUX).exists();
    let differ = |traits: EngineTraits| traits.limits_differ(&desired.limits, &observed.limits);
    let other_policy = observed.podman && desired.restart_policy.is_some_and(|it| it != observed.restart_policy);
    if !differ(EngineTraits::default()) && !labels_in_doubt && !other_policy {
        return Ok(EngineTraits::default());
    }
    let traits = engine.info().await?.traits;
    // Only where it decides: the question is a call that changes a container, of one that there is not.
    let updates = observed.podman && (other_policy || differ(traits)) && engine.updates().await?;
    Ok(EngineTraits { updates, ..traits })
}
