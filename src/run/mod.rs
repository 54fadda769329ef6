//! One run from requests to reports: observe, plan, (check mode stops here), lock, observe again, apply, report.
//!
//! A run that finds nothing to do makes three engine requests (ping, image, container), none that writes, and no lock.
//! Several scanners are observed and planned as one, refused as a whole, and changed one after the other.

mod admit;
pub mod info;
mod supply;
mod view;

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

pub use self::admit::Admitted;
use self::admit::{Candidate, Refused, admit, capacity};
use self::supply::Supply;
use self::view::{View, wanted};
use crate::apply::{Failed, Walk, replace, settle};
use crate::engine::{DockerHost, Engine, Failure};
use crate::error::{Error, Result};
use crate::host::lock::Subject;
use crate::protocol::arguments::State;
use crate::report::Report;
use crate::scanner::desired::Request;
use crate::scanner::observed::{Observed, Status};
use crate::scanner::plan::{Asks, Plan};
use crate::scanner::recovery::StopOfOld;

/// How many scanners are looked at side by side; each needs a connection of its own.
const SIDE_BY_SIDE: usize = 4;

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

/// Why a run ended early.
#[derive(Debug)]
pub struct Stopped {
    /// Which of the scanners it was; `None`: all of them together.
    pub at: Option<usize>,
    /// Whether it was refused before any of them was touched.
    pub refused: bool,
    /// What happened.
    pub failed: Failed,
}

impl<E: Into<Failed>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self { at: None, refused: true, failed: error.into() }
    }
}

impl Stopped {
    fn refused(at: usize, error: Error) -> Self {
        Self { at: Some(at), refused: true, failed: error.into() }
    }
}

/// Runs `requests`; `reports` (one for each) and `admitted` have what was found and done, also when it fails.
///
/// # Errors
/// Whatever keeps a scanner from being as wanted.
pub async fn run(
    settings: &Settings,
    requests: &mut [Request],
    reports: &mut [Report],
    admitted: &mut Admitted,
) -> Result<(), Stopped> {
    let engine = Engine::connect(settings.docker_host.clone(), settings.timeout).await?;
    if requests.iter().any(Request::needs_capacity) {
        let info = engine.info().await.map_err(|failure| failure.into_error(engine.host()))?;
        for (at, request) in requests.iter_mut().enumerate() {
            request.resolve(&capacity(&info)).map_err(|error| Stopped::refused(at, error))?;
        }
    }
    let supply = Supply::new(&engine, requests, settings.check_mode).await?;
    let runs: Vec<_> =
        requests.iter().map(|request| Run { engine: &engine, settings, supply: &supply, request }).collect();
    let looking = stream::iter(runs.iter().enumerate()).map(async |(at, run)| (at, run.look().await));
    let looking = looking.buffered(SIDE_BY_SIDE).map(|(at, look)| look.map_err(|error| Stopped::refused(at, error)));
    let mut looks: Vec<Look> = looking.try_collect().await?;
    let mut made = Vec::new();
    for ((run, look), report) in runs.iter().zip(&mut looks).zip(reports.iter_mut()) {
        look.plan.leave_out_made(&mut made);
        run.predict_recovery(look, report);
        report.planned(&look.plan, look.view.situation.observed.as_ref());
    }
    let candidates: Vec<_> = runs.iter().zip(&looks).map(|(run, look)| run.candidate(&look.view, &look.plan)).collect();
    let refused = |Refused { at, error }| Stopped { at, refused: true, failed: error.into() };
    admit(&engine, &candidates, admitted).await.map_err(refused)?;
    for (at, ((run, look), report)) in runs.iter().zip(&looks).zip(reports.iter_mut()).enumerate() {
        let carried_out = run.carry_out(look, &candidates, report, admitted).await;
        report.finished = true;
        carried_out.map_err(|failed| Stopped { at: Some(at), refused: false, failed })?;
    }
    Ok(())
}

/// What the first look at a scanner showed, and the plan that it led to.
struct Look {
    view: View,
    plan: Plan,
    /// A replacement was interrupted, or a run left its mark.
    unfinished: bool,
}

struct Run<'a> {
    engine: &'a Engine,
    settings: &'a Settings,
    supply: &'a Supply<'a>,
    request: &'a Request,
}

impl Run<'_> {
    async fn look(&self) -> Result<Look> {
        let (mut view, marked) = self.quiet_view().await?;
        let interrupted = view.scene.is_interrupted();
        if interrupted {
            // The world as it will be when the way back has been gone.
            view.situation.observed =
                view.scene.way_back(&self.request.name, self.may_start(), StopOfOld::MaybeSent).current;
        }
        let plan = match self.plan(&view).await {
            Ok(plan) => plan,
            // A run was killed or left something in doubt; what is refused now may be right when that is put in order.
            Err(_) if marked && !self.settings.check_mode => Plan::default(),
            Err(error) => return Err(error),
        };
        let unfinished = interrupted || (marked && !self.settings.check_mode);
        Ok(Look { view, plan, unfinished })
    }

    fn predict_recovery(&self, look: &Look, report: &mut Report) {
        if self.settings.check_mode && look.unfinished {
            report.actions.push("recover");
        }
    }

    fn candidate<'b>(&'b self, view: &'b View, plan: &'b Plan) -> Candidate<'b> {
        Candidate { request: self.request, view, plan }
    }

    /// How long another run is waited for.
    fn patience(&self) -> Duration {
        let wish = &self.request.wish;
        let grace = wish.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(10);
        self.settings.timeout + wish.settle + Duration::from_secs(grace)
    }

    /// A look while no other run is at work, and whether one left its mark; leaves nothing behind.
    async fn quiet_view(&self) -> Result<(View, bool)> {
        let subject = self.subject();
        loop {
            let quiet = subject.quiet(self.patience()).await?;
            let view = self.view(quiet.is_some()).await;
            // Else another run was at work while this one looked; what it saw is half-done then.
            if quiet.is_some() || !subject.is_marked() {
                return Ok((view?, quiet.is_some()));
            }
        }
    }

    async fn view(&self, closely: bool) -> Result<View> {
        View::new(self.engine, self.request, self.supply.local(self.request), closely).await
    }

    /// From a first look to the wanted scanner.
    async fn carry_out(
        &self,
        look: &Look,
        task: &[Candidate<'_>],
        report: &mut Report,
        admitted: &mut Admitted,
    ) -> Result<(), Failed> {
        let planned = !look.plan.is_empty() || look.unfinished;
        if self.settings.check_mode && planned {
            self.subject().may_lock()?;
            report.actions.extend(self.supply.predict(self.request, &look.plan.steps));
            return Ok(());
        }
        // Before the lock is taken: it may take long and disturbs nobody.
        let fetched = if self.settings.check_mode { None } else { self.supply.fetch(self.request).await? };
        report.actions.extend(fetched);
        if !planned && self.supply.local(self.request) == look.view.image {
            return Ok(self.look_for_flapping(look.view.situation.observed.as_ref()).await?);
        }
        self.under_lock(task, report, admitted).await
    }

    /// Everything that changes something, with nobody else at work on this scanner.
    async fn under_lock(
        &self,
        task: &[Candidate<'_>],
        report: &mut Report,
        admitted: &mut Admitted,
    ) -> Result<(), Failed> {
        let patience = self.patience();
        let lock = self.subject().lock(patience).await?;
        let resources = Subject::engine(self.settings.docker_host.socket());
        if resources.is_marked() {
            // Nobody looks closer because of this one; the killed run that left it need not leave it for ever.
            drop(resources.lock(Duration::ZERO).await);
        }
        let outcome = self.change(task, patience, report, admitted).await;
        match &outcome {
            Err(failed) if failed.unfinished => lock.leave_mark(),
            _ => drop(lock),
        }
        outcome
    }

    async fn change(
        &self,
        task: &[Candidate<'_>],
        patience: Duration,
        report: &mut Report,
        admitted: &mut Admitted,
    ) -> Result<(), Failed> {
        let mut view = self.view(true).await?;
        if view.scene.is_interrupted() {
            view = self.recover(view, report).await?;
        }
        let plan = self.plan(&view).await?;
        report.planned(&plan, view.situation.observed.as_ref());
        if !plan.is_empty() {
            // Nobody else may take the same code, directory or resources between the look and the claim.
            let admission = if plan.claims_identity() || plan.asks() != Asks::Nothing {
                Some(Subject::engine(self.settings.docker_host.socket()).lock(patience).await?)
            } else {
                None
            };
            // The others of the task count as they will be: one that grows may come before the one that makes room.
            let now = self.candidate(&view, &plan);
            let task = task.iter().map(|it| if std::ptr::eq(it.request, self.request) { now } else { *it });
            admit(self.engine, &task.collect::<Vec<_>>(), admitted).await.map_err(|refused| refused.error)?;
            let mut walk = Walk::new(self.engine, self.request, view.situation.observed.as_ref(), &mut report.actions);
            // A start changes nothing in what the next run sees, and may take long.
            walk.admission = admission.filter(|_| plan.creates() || plan.asks() == Asks::Growth);
            walk.along(&plan).await?;
        }
        let found = self.engine.named(self.request.name.as_str()).await.map_err(|failure| self.failed(failure))?;
        report.found(found.as_ref());
        // What only was updated may have been flapping all along, and what was started may begin to.
        if !(plan.starts() && self.request.wish.settle.is_zero()) {
            self.look_for_flapping(found.as_ref()).await?;
        }
        Ok(())
    }

    async fn plan(&self, view: &View) -> Result<Plan> {
        let mut situation = view.situation.clone();
        if let Some(desired) = wanted(self.request) {
            situation.image = Some(self.supply.known(self.request, desired).await?);
        }
        Plan::make(self.request, &situation)
    }

    /// Finishes an interrupted replacement that is just what is wanted, or puts the old scanner back.
    async fn recover(&self, view: View, report: &mut Report) -> Result<View, Failed> {
        let wish = &self.request.wish;
        let manages_policy = wanted(self.request).is_some_and(|desired| desired.restart_policy.is_some());
        if let Some((current, outgoing)) = view.scene.finishable(manages_policy)
            && self.may_start()
            && let Ok(plan) = self.plan(&view).await
            && !plan.creates()
        {
            let walk = Walk::new(self.engine, self.request, Some(current), &mut report.actions);
            let finished = match walk.along(&plan).await {
                Ok(()) if plan.starts() => Ok(()),
                Ok(()) => settle::stays_up(self.engine, &current.id, wish.settle).await.map_err(Failed::from),
                Err(failed) => Err(failed),
            };
            if finished.is_ok() {
                replace::dismiss(self.engine, outgoing).await?;
                report.actions.push("recover");
                return Ok(self.view(true).await?);
            }
        }
        let back = replace::put_back(self.engine, self.request, self.may_start(), StopOfOld::MaybeSent).await;
        let still = "an interrupted replacement is still to be put back, which the next run tries again";
        let unfinished = |failure, left: &str| Failed {
            error: self.failed(failure).and(left),
            rolled_back: false,
            unfinished: true,
        };
        let back = back.map_err(|failure| unfinished(failure, still))?;
        if let Some(failure) = back.not_started
            && wish.state != State::Started
        {
            return Err(unfinished(
                failure,
                "the scanner is back after an interrupted replacement, but does not start",
            ));
        }
        report.actions.push("recover");
        Ok(self.view(true).await?)
    }

    /// A scanner that is just being restarted by its policy, or was a moment ago, is not taken for a running one.
    async fn look_for_flapping(&self, observed: Option<&Observed>) -> Result<()> {
        let Some(observed) = observed.filter(|_| self.may_start()) else { return Ok(()) };
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

    fn may_start(&self) -> bool {
        matches!(self.request.wish.state, State::Started | State::Present)
    }

    fn subject(&self) -> Subject {
        Subject::scanner(self.settings.docker_host.socket(), self.request.name.as_str())
    }

    fn failed(&self, failure: Failure) -> Error {
        failure.into_error(self.engine.host())
    }
}
