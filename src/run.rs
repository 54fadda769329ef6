//! One run from request to outcome: observe, plan, (check mode stops here), lock, observe again, apply, report.
//!
//! A run that finds nothing to do makes three engine requests (version, container, image), none that writes, and no lock.

use std::time::Duration;

use crate::apply::{Failed, Walk, replace, settle};
use crate::engine::{DockerHost, Engine, Failure, Info, LocalImage};
use crate::error::{Error, Kind, Result};
use crate::host::lock::Subject;
use crate::host::{directories, swap};
use crate::protocol::arguments::{Pull, State};
use crate::report::Report;
use crate::scanner::admission::{Claim, check_claim, check_cpus};
use crate::scanner::compare::EngineTraits;
use crate::scanner::desired::{Desired, Request};
use crate::scanner::image::WantedImage;
use crate::scanner::limits::MemorySwap;
use crate::scanner::observed::{Observed, Status};
use crate::scanner::plan::{OnHost, Plan, Situation, purged};
use crate::scanner::recovery::Scene;
use crate::scanner::{environment, mount};

/// `SELinux`'s control files; without them no engine on this host labels mounts.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// What is the same for every scanner of a task.
#[derive(Debug)]
pub struct Settings {
    /// Where the engine listens.
    pub docker_host: DockerHost,
    /// For each engine call but those that take as long as they take.
    pub timeout: Duration,
    /// Predict only.
    pub check_mode: bool,
}

/// Runs `request`; `report` has what was found and done, also when it fails.
///
/// # Errors
/// Whatever keeps the scanner from being as wanted.
pub async fn run(settings: &Settings, request: &Request, report: &mut Report) -> Result<(), Failed> {
    let engine = Engine::connect(settings.docker_host.clone(), settings.timeout).await?;
    let run = Run { engine: &engine, settings, request };
    let subject = Subject::scanner(settings.docker_host.socket(), request.name.as_str());
    let marked = subject.is_marked();
    let view = run.view(marked).await?;
    if marked && !settings.check_mode {
        return run.under_lock(&subject, report).await;
    }
    let (view, recovering) = run.predict_recovery(view, report);
    let plan = run.plan(&view).await?;
    report.planned(&plan, view.situation.observed.as_ref());
    run.admit(&view, &plan).await?;
    let pulls = run.pulls_always() && !settings.check_mode;
    if plan.is_empty() && !recovering && !pulls {
        return Ok(run.look_for_flapping(&view).await?);
    }
    report.warn(run.swap_warning(&plan));
    if settings.check_mode {
        report.actions.extend(plan.steps.iter().map(crate::scanner::plan::Step::word));
        return Ok(());
    }
    if run.supply_image(&view).await? {
        report.actions.push("pull_image");
    }
    run.under_lock(&subject, report).await
}

/// The world as one look showed it.
struct View {
    scene: Scene,
    image: Option<LocalImage>,
    situation: Situation,
}

struct Run<'a> {
    engine: &'a Engine,
    settings: &'a Settings,
    request: &'a Request,
}

impl Run<'_> {
    /// Everything that changes something, with nobody else at work on this scanner.
    async fn under_lock(&self, subject: &Subject, report: &mut Report) -> Result<(), Failed> {
        let wish = &self.request.wish;
        let grace =
            Duration::from_secs(wish.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(10));
        let patience = self.settings.timeout + wish.settle + grace;
        let lock = subject.lock(patience).await?;
        let outcome = self.change(patience, report).await;
        match &outcome {
            Err(failed) if failed.unfinished => lock.leave_mark(),
            _ => drop(lock),
        }
        outcome
    }

    async fn change(&self, patience: Duration, report: &mut Report) -> Result<(), Failed> {
        let mut view = self.view(true).await?;
        if view.scene.is_interrupted() {
            view = self.recover(view, report).await?;
        }
        let mut plan = self.plan(&view).await?;
        // A pull that was put off brings nothing new, or the image that is planned with now.
        plan.steps.retain(|step| step.word() != "pull_image");
        report.planned(&plan, view.situation.observed.as_ref());
        if plan.is_empty() {
            self.look_for_flapping(&view).await?;
        } else {
            // Nobody else may take the same code, directory or resources between the look and the claim.
            let admission = Subject::engine(self.settings.docker_host.socket()).lock(patience).await?;
            self.admit(&view, &plan).await?;
            let observed = view.situation.observed.as_ref();
            let mut walk = Walk::new(self.engine, self.request, observed, &mut report.actions);
            walk.admission = Some(admission);
            walk.along(&plan).await?;
        }
        let found = self.engine.container(self.request.name.as_str()).await.map_err(|failure| self.failed(failure))?;
        report.found(found.map(|container| container.observe(None)).as_ref());
        Ok(())
    }

    /// Looks at the engine and the host; `closely`: also for what a replacement may have left.
    async fn view(&self, closely: bool) -> Result<View> {
        let failed = |failure| self.failed(failure);
        let name = &self.request.name;
        let container = self.engine.container(name.as_str()).await.map_err(failed)?;
        let desired = self.request.desired.as_ref().filter(|_| self.request.wish.state != State::Absent);
        let image = match desired {
            Some(desired) => self.engine.image(desired.image.as_str()).await.map_err(failed)?,
            None => None,
        };
        let observed = match (&container, desired) {
            (Some(container), Some(_)) => Some(self.engine.observe(container, image.as_ref()).await.map_err(failed)?),
            (Some(container), None) => Some(container.observe(None)),
            (None, _) => None,
        };
        let never_started = observed.as_ref().is_some_and(|it| it.replaces.is_some() && it.status == Status::Created);
        let scene = if closely || observed.is_none() || never_started {
            replace::scene(self.engine, name).await.map_err(failed)?
        } else {
            Scene { current: observed.clone(), ..Scene::default() }
        };
        let engine = self.engine_traits(desired, observed.as_ref()).await?;
        let identity_dir = match self.request.desired.as_ref().map(Desired::identity_dir) {
            Some(directory) => Some(directory),
            None if self.request.wish.purge => purged(self.request, observed.as_ref())?,
            None => None,
        };
        let look = |path: Option<&crate::scanner::directory::Directory>| {
            path.map_or(Ok(OnHost::Missing), |path| directories::look(path.as_path()))
        };
        let situation = Situation {
            observed,
            image: None,
            engine,
            shared_dir: look(desired.map(|desired| &desired.shared_dir))?,
            identity_dir: look(identity_dir.as_ref())?,
            ca_dir: look(desired.and_then(|desired| desired.ca_dir.as_ref()))?,
        };
        Ok(View { scene, image, situation })
    }

    /// The engine is only asked where its answer could turn a difference into none.
    async fn engine_traits(&self, desired: Option<&Desired>, observed: Option<&Observed>) -> Result<EngineTraits> {
        let (Some(desired), Some(observed)) = (desired, observed) else { return Ok(EngineTraits::default()) };
        let swap_in_doubt = observed.limits.memory_swap == Some(MemorySwap::Unlimited)
            && desired.limits.memory_swap().is_some_and(|swap| swap != MemorySwap::Unlimited);
        let unlabelled = observed
            .mounts
            .iter()
            .any(|it| !it.relabel && [mount::SHARED, mount::PRIVATE, mount::CA].contains(&it.destination.as_str()));
        let labels_in_doubt = unlabelled && !observed.podman && std::path::Path::new(SELINUX).exists();
        if !swap_in_doubt && !labels_in_doubt {
            return Ok(EngineTraits::default());
        }
        let Info { labels_enforced, swap_accounting, .. } = self.info().await?;
        Ok(EngineTraits { labels_enforced, swap_accounting })
    }

    async fn plan(&self, view: &View) -> Result<Plan> {
        let mut situation = view.situation.clone();
        if let Some(desired) = &self.request.desired
            && self.request.wish.state != State::Absent
        {
            situation.image = Some(self.wanted_image(desired, view.image.as_ref()).await?);
        }
        Plan::make(self.request, &situation)
    }

    /// What is known of the wanted image, short of pulling it.
    async fn wanted_image(&self, desired: &Desired, local: Option<&LocalImage>) -> Result<WantedImage> {
        let (image, pull) = (&desired.image, self.request.wish.pull);
        match local {
            Some(local) if self.pulls_always() && self.settings.check_mode => {
                let newest = self.engine.registry_digest(image).await.map_err(|failure| no_image(desired, &failure))?;
                if local.digests.iter().any(|digest| digest.ends_with(&newest)) {
                    return Ok(WantedImage::Local { id: local.id.clone(), env: local.env() });
                }
                Ok(WantedImage::ToPull)
            }
            Some(local) => Ok(WantedImage::Local { id: local.id.clone(), env: local.env() }),
            None if image.is_id() => Err(Error::new(
                Kind::ImageNotFound,
                format!(
                    "the engine has no image of this id, and an id cannot be pulled; load it, or give name:tag: `{image}`"
                ),
            )),
            None if pull == Pull::Never => Err(Error::new(
                Kind::ImageNotFound,
                format!(
                    "the engine does not have the image, and pull=never; load it, or allow pull=missing: `{image}`"
                ),
            )),
            None if self.settings.check_mode => {
                self.engine.registry_digest(image).await.map_err(|failure| no_image(desired, &failure))?;
                Ok(WantedImage::ToPull)
            }
            None => Ok(WantedImage::ToPull),
        }
    }

    /// Pulls where the image is missing or the task asks for it; whether that brought another image.
    async fn supply_image(&self, view: &View) -> Result<bool> {
        let Some(desired) = self.request.desired.as_ref().filter(|_| self.request.wish.state != State::Absent) else {
            return Ok(false);
        };
        if view.image.is_some() && !self.pulls_always() {
            return Ok(false);
        }
        self.engine.pull(&desired.image).await.map_err(|failure| no_image(desired, &failure))?;
        let now = self.engine.image(desired.image.as_str()).await.map_err(|failure| self.failed(failure))?;
        Ok(now.map(|image| image.id) != view.image.as_ref().map(|image| image.id.clone()))
    }

    /// Refuses what must not come to life beside the rest of the host.
    async fn admit(&self, view: &View, plan: &Plan) -> Result<()> {
        let desired = self.request.desired.as_ref();
        if plan.sets_cpus()
            && let Some(cpus) = desired.and_then(|desired| desired.limits.cpus)
        {
            check_cpus(Some(cpus), self.info().await?.cpus)?;
        }
        if plan.creates()
            && let Some(network) = desired.and_then(|desired| desired.network.as_ref())
            && !self.engine.has_network(network).await.map_err(|failure| self.failed(failure))?
        {
            return Err(Error::invalid(format!(
                "network does not exist on this engine; create it first with `docker network create`, got: `{network}`"
            )));
        }
        if !plan.claims_identity() {
            return Ok(());
        }
        let observed = view.situation.observed.as_ref();
        let identity_dir = desired.map(Desired::identity_dir);
        let claim = Claim {
            code: desired
                .map(|desired| desired.code.expose())
                .or_else(|| observed.and_then(|observed| observed.env.value(environment::CODE))),
            identity_dir: identity_dir
                .as_ref()
                .map(crate::scanner::directory::Directory::as_str)
                .or_else(|| observed.and_then(|it| it.mount(mount::PRIVATE)).map(|mount| mount.source.as_str())),
        };
        let own: Vec<_> = [&view.scene.current, &view.scene.incoming, &view.scene.outgoing]
            .into_iter()
            .flatten()
            .chain(observed)
            .map(|container| container.id.as_str())
            .collect();
        let neighbours = self.engine.neighbours().await.map_err(|failure| self.failed(failure))?;
        check_claim(claim, &neighbours, &own)
    }

    /// In check mode: the world as it would be after the recovery of an interrupted replacement.
    fn predict_recovery(&self, mut view: View, report: &mut Report) -> (View, bool) {
        if !view.scene.is_interrupted() {
            return (view, false);
        }
        if self.settings.check_mode {
            report.actions.push("recover");
        }
        view.situation.observed = view.scene.way_back(&self.request.name, self.may_start()).current;
        (view, true)
    }

    /// Finishes an interrupted replacement that is just what is wanted, or puts the old scanner back.
    async fn recover(&self, view: View, report: &mut Report) -> Result<View, Failed> {
        if let Some((current, outgoing)) = view.scene.unconfirmed()
            && self.may_start()
            && let Ok(plan) = self.plan(&view).await
            && !plan.creates()
        {
            let walk = Walk::new(self.engine, self.request, Some(current), &mut report.actions);
            let finished = match walk.along(&plan).await {
                Ok(()) if plan.starts() => Ok(()),
                Ok(()) => {
                    settle::stays_up(self.engine, &current.id, self.request.wish.settle).await.map_err(Failed::from)
                }
                Err(failed) => Err(failed),
            };
            if finished.is_ok() {
                replace::dismiss(self.engine, outgoing).await?;
                report.actions.push("recover");
                return Ok(self.view(true).await?);
            }
        }
        let back =
            replace::put_back(self.engine, &self.request.name, self.request.wish.stop_timeout, self.may_start()).await;
        back.map_err(|failure| Failed {
            error: self
                .failed(failure)
                .and("an interrupted replacement is still to be put back, which the next run tries again"),
            rolled_back: false,
            unfinished: true,
        })?;
        report.actions.push("recover");
        Ok(self.view(true).await?)
    }

    /// An id names one image for ever; there is nothing newer to pull.
    fn pulls_always(&self) -> bool {
        let Request { desired, wish, .. } = self.request;
        let image = desired.as_ref().map(|desired| &desired.image).filter(|image| !image.is_id());
        image.is_some() && wish.pull == Pull::Always && wish.state != State::Absent
    }

    fn may_start(&self) -> bool {
        matches!(self.request.wish.state, State::Started | State::Present)
    }

    /// A scanner that is just being restarted by its policy, or was a moment ago, is not taken for a running one.
    async fn look_for_flapping(&self, view: &View) -> Result<()> {
        let Some(observed) = view.situation.observed.as_ref().filter(|_| self.may_start()) else { return Ok(()) };
        if observed.status == Status::Restarting {
            return Err(settle::ended(self.engine, observed).await);
        }
        let settle = self.request.wish.settle;
        let young = || observed.started_at.as_deref().and_then(crate::time::since).is_none_or(|age| age < settle);
        if observed.status == Status::Running && observed.restart_count > 0 && young() {
            return settle::stays_up(self.engine, &observed.id, settle).await;
        }
        Ok(())
    }

    fn swap_warning(&self, plan: &Plan) -> Option<String> {
        let limits = &self.request.desired.as_ref()?.limits;
        let given = limits.memory_swap_given().is_some() && !plan.is_empty();
        (given && swap::total() == Some(0)).then(|| "memory_swap has no effect: the Docker host has no swap".to_owned())
    }

    async fn info(&self) -> Result<Info> {
        self.engine.info().await.map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: Failure) -> Error {
        failure.into_error(self.engine.host())
    }
}

fn no_image(desired: &Desired, failure: &Failure) -> Error {
    Error::new(
        Kind::ImageNotFound,
        format!(
            "the image is not to be had: {failure}; check its name and the registry, or load it on the Docker host: `{}`",
            desired.image
        ),
    )
}
