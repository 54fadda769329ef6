//! One look at the engine and the host, as far as one scanner is concerned.

use std::path::Path;

use crate::apply::replace;
use crate::engine::{Engine, Failure, LocalImage};
use crate::error::Result;
use crate::host::directories;
use crate::protocol::arguments::State;
use crate::scanner::compare::EngineTraits;
use crate::scanner::desired::{Desired, Request};
use crate::scanner::directory::Directory;
use crate::scanner::limits::MemorySwap;
use crate::scanner::mount;
use crate::scanner::name::Name;
use crate::scanner::observed::{Observed, Status};
use crate::scanner::purge::purged;
use crate::scanner::recovery::Scene;
use crate::scanner::situation::{OnHost, Situation};

/// `SELinux`'s control files; without them no engine on this host labels mounts.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// The world as one look showed it.
#[derive(Debug)]
pub struct View {
    /// The containers of the scanner.
    pub scene: Scene,
    /// The wanted image, where one is wanted and there.
    pub image: Option<LocalImage>,
    /// What the plan is made from; the image is filled in by whoever decides about pulling.
    pub situation: Situation,
}

/// The scanner that `request` wants to have, unless it shall go or only its run state matters.
#[must_use]
pub fn wanted(request: &Request) -> Option<&Desired> {
    request.desired.as_ref().filter(|_| request.wish.state != State::Absent)
}

impl View {
    /// Looks; `image` is the wanted one, if the engine has it; `closely`: also for what a replacement may have left.
    ///
    /// # Errors
    /// When the engine or the host does not answer properly.
    pub async fn new(engine: &Engine, request: &Request, image: Option<LocalImage>, closely: bool) -> Result<Self> {
        let failed = |failure: Failure| failure.into_error(engine.host());
        let desired = wanted(request);
        let observed = settled(engine, &request.name).await.map_err(failed)?;
        let never_started = observed.as_ref().is_some_and(|it| it.replaces.is_some() && it.status == Status::Created);
        let scene = if closely || observed.is_none() || never_started {
            replace::scene(engine, &request.name).await.map_err(failed)?
        } else {
            Scene { current: observed.clone(), ..Scene::default() }
        };
        let traits = engine_traits(engine, desired, observed.as_ref()).await?;
        let identity_dir = match &request.desired {
            Some(desired) => Some(desired.identity_dir()),
            None if request.wish.purge => purged(request, observed.as_ref())?,
            None => None,
        };
        let look =
            |path: Option<&Directory>| path.map_or(Ok(OnHost::Missing), |path| directories::look(path.as_path()));
        let situation = Situation {
            observed,
            image: None,
            engine: traits,
            shared_dir: look(desired.map(|desired| &desired.shared_dir))?,
            identity_dir: look(identity_dir.as_ref())?,
            ca_dir: look(desired.and_then(|desired| desired.ca_dir.as_ref()))?,
        };
        Ok(Self { scene, image, situation })
    }
}

/// The container of this `name`; one that the engine is just removing is given the time to go.
async fn settled(engine: &Engine, name: &Name) -> Result<Option<Observed>, Failure> {
    let observed = engine.named(name.as_str()).await?;
    match observed.as_ref().filter(|container| container.status == Status::Removing) {
        Some(going) if engine.gone(&going.id).await.is_ok() => engine.named(name.as_str()).await,
        _ => Ok(observed),
    }
}

/// The engine is only asked where its answer could turn a difference into none.
async fn engine_traits(
    engine: &Engine,
    desired: Option<&Desired>,
    observed: Option<&Observed>,
) -> Result<EngineTraits> {
    let (Some(desired), Some(observed)) = (desired, observed) else { return Ok(EngineTraits::default()) };
    let swap_in_doubt = observed.limits.memory_swap == Some(MemorySwap::Unlimited)
        && desired.limits.memory_swap().is_some_and(|swap| swap != MemorySwap::Unlimited);
    let unlabelled = |it: &mount::Mount| {
        !it.relabel && [mount::SHARED, mount::PRIVATE, mount::CA].contains(&it.destination.as_str())
    };
    let labels_in_doubt = !observed.podman && observed.mounts.iter().any(unlabelled) && Path::new(SELINUX).exists();
    if !swap_in_doubt && !labels_in_doubt {
        return Ok(EngineTraits::default());
    }
    let info = engine.info().await.map_err(|failure| failure.into_error(engine.host()))?;
    Ok(EngineTraits { labels_enforced: info.labels_enforced, swap_accounting: info.swap_accounting })
}
