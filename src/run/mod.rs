//! One run from requests to an outcome: observe, plan, (check mode stops here), lock, observe again, execute.
//!
//! A run that finds nothing to do makes three engine requests (list, image, container), none that writes, and takes no lock.
//! Several scanners are observed and planned as one, refused as a whole, and changed one after the other.

mod admission;
mod dependents;
mod execute;
#[cfg(test)]
mod explorer;
pub mod failure;
mod images;
pub mod info;
pub mod interrupt;
mod locks;
mod observe;
pub mod outcome;
mod paths;
pub mod process;
mod reach;
mod recover;
mod retry;
mod settle;
#[cfg(test)]
mod tests;
mod undo;

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::stream::{self, StreamExt};

use self::admission::{Admitted, PlannedScanner, Refused, admit, capacity};
use self::execute::Executor;
pub use self::execute::NotStarted;
use self::images::Images;
use self::interrupt::Interrupt;
use self::locks::{Claims, Locksmith};
use self::outcome::{Failed, LastLook, Outcome, ScannerOutcome, is_restored};
pub use self::reach::Interrupted;
use self::recover::recover_all;
use self::retry::Tries;
use crate::engine::{Engine, Listed};
use crate::host::lock::{self, LockKey};
use crate::scanner::desired::Request;
use crate::scanner::observation::Observation;
use crate::scanner::observed::{Observed, Status};
use crate::scanner::operation::Operation;
use crate::scanner::plan::Plan;
use crate::scanner::policy::State;
use crate::scanner::refusal;
use crate::scanner::replacement::{Containers, Goal, foresee};

/// How many scanners of a task are looked at at the same time, each on a connection of its own.
const AT_ONCE: usize = 3;

/// What is the same for every scanner of a task.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The limit of each engine call other than a pull, a load or a stop.
    pub timeout: Duration,
    /// Predict only.
    pub check_mode: bool,
}

/// Brings the scanners of `requests` to their desired states, or in check mode predicts what that would do.
pub async fn run<E: Engine>(
    engine: &E,
    settings: Settings,
    requests: &mut [Request],
    interrupt: &Interrupt,
) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.scanners.resize_with(requests.len(), ScannerOutcome::default);
    let mut admitted = Admitted::default();
    let run = run_all(engine, settings, requests, interrupt, &mut outcome.scanners, &mut admitted).await;
    outcome.failure = run.err();
    outcome.host = admitted.host;
    outcome.warnings = outcome.scanners.iter().flat_map(|it| it.warnings.clone()).chain(admitted.warnings).collect();
    outcome
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { at: None, refused: true, error: error.into() }
    }
}

impl Failed {
    fn refused(at: usize) -> impl Fn(anyhow::Error) -> Self {
        move |error| Self { at: Some(at), refused: true, error }
    }
}

async fn run_all<E: Engine>(
    engine: &E,
    settings: Settings,
    requests: &mut [Request],
    interrupt: &Interrupt,
    outcomes: &mut [ScannerOutcome],
    admitted: &mut Admitted,
) -> Result<(), Failed> {
    let names: Vec<_> = requests.iter().map(|request| request.name.clone()).collect();
    let listed = engine.containers(&names.iter().collect::<Vec<_>>()).await?;
    if requests.iter().any(Request::needs_capacity) {
        let info = engine.info().await?;
        for (at, request) in requests.iter_mut().enumerate() {
            request.resolve(&capacity(&info)).map_err(|error| Failed::refused(at)(error.into()))?;
        }
    }
    let images = Images::new(engine, requests).await?;
    let runs: Vec<_> =
        requests.iter().map(|request| Run { engine, settings, images: &images, request, interrupt }).collect();
    let looks = match prepare(engine, &runs, &listed, outcomes, admitted).await {
        Ok(looks) => looks,
        Err(refused) if settings.check_mode => return Err(refused),
        Err(refused) => return Err(recover_all(&runs, &listed, outcomes, refused).await),
    };
    let planned: Vec<_> = runs.iter().zip(&looks).map(|(run, it)| run.planned(it)).collect();
    for (at, ((run, look), outcome)) in runs.iter().zip(&looks).zip(outcomes.iter_mut()).enumerate() {
        outcome.reached = true;
        let carried_out = run.carry_out(look, &planned, outcome, admitted).await;
        carried_out.map_err(|error| Failed { at: Some(at), refused: false, error })?;
    }
    Ok(())
}

/// Observes every scanner of the task and plans; refuses the task before anything is touched.
async fn prepare<E: Engine>(
    engine: &E,
    runs: &[Run<'_, E>],
    listed: &[Listed],
    outcomes: &mut [ScannerOutcome],
    admitted: &mut Admitted,
) -> Result<Vec<Look>, Failed> {
    let mut looks = Vec::with_capacity(runs.len());
    // The engine answers about the next ones while this program thinks about one. What they lead to is found out in their order.
    let mut looking = stream::iter(runs).map(|run| run.containers_of(listed)).buffered(AT_ONCE);
    for (at, run) in runs.iter().enumerate() {
        let containers = looking.next().await.context("one look for each scanner")?.map_err(Failed::refused(at))?;
        let look = run.observe_quiet(containers).await.map_err(Failed::refused(at))?;
        let outcome = outcomes.get_mut(at).context("one outcome for each scanner")?;
        outcome.container = LastLook::new(Some(&look.containers));
        looks.push(look);
    }
    drop(looking);
    let (mut made, mut fetched) = (Vec::new(), Vec::new());
    for ((run, look), outcome) in runs.iter().zip(&mut looks).zip(outcomes.iter_mut()) {
        look.plan.leave_out_made(&mut made);
        Images::<E>::leave_out_fetched(run.request, &mut look.plan, &mut fetched);
        outcome.planned(&look.plan);
    }
    let planned: Vec<_> = runs.iter().zip(&looks).map(|(run, it)| run.planned(it)).collect();
    admit(engine, &planned, admitted).await.map_err(|Refused { at, error }| Failed { at, refused: true, error })?;
    drop(planned);
    Ok(looks)
}

/// What was observed of a scanner, and the plan that it led to.
struct Look {
    containers: Containers,
    /// Where a replacement is half-way: the goal to reach before the plan is carried out.
    recovery: Option<Goal>,
    observation: Observation,
    plan: Plan,
}

impl Look {
    fn is_idle(&self) -> bool {
        self.plan.is_empty() && self.recovery.is_none()
    }
}

struct Run<'a, E> {
    engine: &'a E,
    settings: Settings,
    images: &'a Images<'a, E>,
    request: &'a Request,
    interrupt: &'a Interrupt,
}

impl<E: Engine> Run<'_, E> {
    /// Observes while no other run is at work: a replacement that is half-way may be another run's, which is waited for.
    async fn observe_quiet(&self, containers: Containers) -> Result<Look> {
        if containers.halfway().is_none() {
            return self.observe(containers).await;
        }
        self.locksmith().wait(&self.lock_key().await?).await?;
        self.observe(self.containers().await?).await
    }

    /// The containers of the scanner among those that the engine has `listed`.
    async fn containers_of(&self, listed: &[Listed]) -> Result<Containers> {
        let timeout = self.settings.timeout;
        Ok(observe::containers_of(self.engine, &self.request.name, listed.to_vec(), timeout).await?)
    }

    /// The plan from `containers`, as they will be when a replacement that is half-way is finished or rolled back.
    async fn observe(&self, containers: Containers) -> Result<Look> {
        let name = &self.request.name;
        let recovery = self.recovery(&containers);
        let current = match &recovery {
            Some(goal) => foresee(name, &containers, goal).current,
            None => containers.current.clone(),
        };
        if containers.halfway().is_some()
            && let Some(stranger) = containers.stranger()
        {
            return Err(refusal::stranger(&stranger.name).into());
        }
        let (observation, plan) = self.plan(current, &containers).await?;
        Ok(Look { containers, recovery, observation, plan })
    }

    async fn plan(&self, observed: Option<Observed>, containers: &Containers) -> Result<(Observation, Plan)> {
        let mut observation = observe::observation(self.engine, self.request, observed, containers).await?;
        if let Some(image) =
            self.request.image().filter(|_| self.request.desired.is_some() || observation.observed.is_some())
        {
            observation.image = Some(self.images.known(self.request, image, self.settings.check_mode).await?);
        }
        let mut plan = Plan::make(self.request, &observation)?;
        if plan.creates() || plan.starts() {
            observation.networks = observe::networks(self.engine, observation.observed.as_ref()).await?;
            plan = Plan::make(self.request, &observation)?;
        }
        if let (true, Some(desired), Some(old)) = (plan.keeps_image(), &mut plan.desired, &observation.observed) {
            desired.image = self.images.kept(old).await?;
        }
        Ok((observation, plan))
    }

    fn planned<'b>(&'b self, look: &'b Look) -> PlannedScanner<'b> {
        let Look { containers, observation, plan, .. } = look;
        PlannedScanner { request: self.request, observed: observation.observed.as_ref(), containers, plan }
    }

    const fn locksmith(&self) -> Locksmith<'_> {
        Locksmith { request: self.request, interrupt: self.interrupt, timeout: self.settings.timeout }
    }

    /// Brings the scanner from the `first` observation to what the task desires.
    async fn carry_out(
        &self,
        first: &Look,
        task: &[PlannedScanner<'_>],
        outcome: &mut ScannerOutcome,
        admitted: &mut Admitted,
    ) -> Result<()> {
        if self.settings.check_mode && !first.is_idle() {
            lock::may_lock()?;
            outcome.actions = predicted(first);
            outcome.changed = true;
            return Ok(());
        }
        if first.is_idle() {
            return self.look_for_flapping(first.observation.observed.as_ref()).await;
        }
        let (engine, timeout) = (self.engine, self.settings.timeout);
        let mut executor =
            Executor::new(engine, self.request, self.images, self.interrupt, timeout, first.containers.clone());
        let changed = self.change(&mut executor, first, task, outcome, admitted).await;
        let (found, changed) = self.conclude(executor, changed, outcome).await;
        if changed.is_err() || (first.plan.starts() && self.request.policy.settle.is_zero()) {
            return changed;
        }
        // A scanner that was only updated may have been flapping before, and one that was started may begin to.
        self.look_for_flapping(found.as_ref().and_then(|found| found.current.as_ref())).await
    }

    /// Records in `outcome` what `executor` did, which ended as `changed`; returns the containers that are there now.
    async fn conclude(
        &self,
        executor: Executor<'_, E>,
        changed: Result<()>,
        outcome: &mut ScannerOutcome,
    ) -> (Option<Containers>, Result<()>) {
        // The result says what is there now, whatever happened; nobody else changes it while the executor has the lock.
        let after = self.last_look().await;
        let (before, written) = executor.end();
        outcome.container = LastLook::new(after.as_ref());
        outcome.changed = written.changed(&before, after.as_ref());
        outcome.actions = written.actions;
        let Err(mut error) = changed else { return (after, Ok(())) };
        if written.tried {
            let restored = after.as_ref().filter(|after| is_restored(&before, after));
            outcome.rolled_back = Some(restored.is_some());
            if let Some(restored) = restored.filter(|_| written.went_back) {
                outcome.actions.push("roll_back");
                error = match &restored.current {
                    Some(old) if old.status.is_up() => error.context("the old scanner is back and running"),
                    Some(_) => error.context("the old scanner is back as it was"),
                    None => error,
                };
            }
        }
        (after, Err(error))
    }

    /// Everything that changes something.
    async fn change(
        &self,
        executor: &mut Executor<'_, E>,
        first: &Look,
        task: &[PlannedScanner<'_>],
        outcome: &mut ScannerOutcome,
        admitted: &mut Admitted,
    ) -> Result<()> {
        // Asked before anything is written: an engine that does not say who it is cannot be locked.
        let lock_key = self.lock_key().await?;
        // Before the lock is taken: fetching may take long and does not disturb other runs.
        let fetch = first.plan.operations.iter().filter(|it| it.fetches()).cloned().collect();
        executor.carry_out(&Plan { operations: fetch, ..Plan::default() }).await?;
        executor.begin(self.locksmith().lock(&lock_key).await?, self.containers().await?);
        let mut look = self.observe(executor.seen().clone()).await?;
        if let Some(goal) = look.recovery.take() {
            match executor.recover(goal, self.may_start()).await {
                Ok(()) => {
                    executor.recovered(self.containers().await?);
                    look = self.observe(executor.seen().clone()).await?;
                }
                // The configuration that the task desires may be the cure.
                Err(error) if error.is::<NotStarted>() && look.plan.replaces() && executor.is_old_broken() => {
                    executor.go_on_without_start();
                }
                Err(error) => return Err(error),
            }
        }
        // No other run may take the same code, directory or resources between the observation and the claim.
        let (root_dir, mut claims) = (self.engine.info().await?.root_dir, Claims::default());
        while claims.take(self.locksmith(), &root_dir, &look.plan).await? {
            look = self.observe(executor.seen().clone()).await?;
        }
        let plan = &look.plan;
        outcome.planned(plan);
        if plan.is_empty() {
            return Ok(());
        }
        // The others of the task count as they will be: one that grows may come before the one that makes room.
        let now = self.planned(&look);
        let task = task.iter().map(|it| if std::ptr::eq(it.request, self.request) { now } else { *it });
        admit(self.engine, &task.collect::<Vec<_>>(), admitted).await.map_err(|refused| refused.error)?;
        executor.hold(claims);
        executor.carry_out(plan).await
    }

    /// The containers when the run ends, also where the engine has just ended and comes back; `None`: they are unknown.
    async fn last_look(&self) -> Option<Containers> {
        let mut tries = Tries::back(LAST_LOOK.min(self.settings.timeout));
        loop {
            match self.containers().await {
                Ok(containers) => return Some(containers),
                Err(error) if tries.again(&error).await => {}
                Err(_) => return None,
            }
        }
    }

    async fn containers(&self) -> Result<Containers> {
        Ok(observe::containers(self.engine, &self.request.name, self.settings.timeout).await?)
    }

    /// A scanner that its policy is restarting, or restarted a moment ago, does not count as running.
    async fn look_for_flapping(&self, observed: Option<&Observed>) -> Result<()> {
        let Some(observed) = observed.filter(|_| self.may_start()) else { return Ok(()) };
        if observed.status == Status::Restarting {
            return Err(settle::ended(self.engine, observed).await.into());
        }
        let settle = self.request.policy.settle;
        if observed.status == Status::Running
            && observed.restart_count > 0
            && observed.age().is_none_or(|age| age < settle)
        {
            return self.interrupt.guard(settle::stays_up(self.engine, &observed.id, settle)).await?;
        }
        Ok(())
    }

    fn may_start(&self) -> bool {
        matches!(self.request.policy.state, State::Started | State::Present)
    }

    /// The lock of this scanner. An engine is identified by its data directory, whichever address it is reached at.
    async fn lock_key(&self) -> Result<LockKey> {
        Ok(LockKey::scanner(&self.engine.info().await?.root_dir, self.request.name.as_str()))
    }
}

/// The words of what a run would do, in the order in which it does it.
fn predicted(look: &Look) -> Vec<&'static str> {
    let operations = look.plan.operations.iter();
    let fetch = operations.clone().filter(|it| it.fetches()).filter_map(Operation::word);
    let recover = look.recovery.iter().map(|_| "recover");
    let rest = operations.filter(|it| !it.fetches()).filter_map(Operation::word);
    fetch.chain(recover).chain(rest).collect()
}

/// How long to ask an engine that does not answer for the containers when the run ends.
const LAST_LOOK: Duration = Duration::from_secs(10);
