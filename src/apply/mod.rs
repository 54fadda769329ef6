//! Carries a plan out, step by step; whatever fails is undone as far as it was not there before.

pub mod replace;
pub mod settle;

use crate::engine::{Engine, Failure};
use crate::error::{Error, Kind, Result};
use crate::host::directories;
use crate::host::lock::Lock;
use crate::scanner::desired::{Desired, Request};
use crate::scanner::observed::{Observed, Status};
use crate::scanner::plan::Plan;
use crate::scanner::step::Step;

/// A step failed.
#[derive(Debug)]
pub struct Failed {
    /// Why, and what was undone.
    pub error: Error,
    /// Whether everything is as it was before.
    pub rolled_back: bool,
    /// Whether something was left half-way, for the next run to finish or to put back.
    pub unfinished: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, rolled_back: false, unfinished: false }
    }
}

/// The walk along a plan's steps.
#[derive(Debug)]
pub struct Walk<'a> {
    /// Where.
    pub engine: &'a Engine,
    /// Why.
    pub request: &'a Request,
    /// The container that there was.
    pub observed: Option<&'a Observed>,
    /// Each step that succeeded.
    pub actions: &'a mut Vec<&'static str>,
    /// Held until what is claimed shows on the engine, so that the next run's look sees it.
    pub admission: Option<Lock>,
    /// The id of the container that the walk made.
    created: Option<String>,
}

impl<'a> Walk<'a> {
    /// A walk that has not begun.
    #[must_use]
    pub fn new(
        engine: &'a Engine,
        request: &'a Request,
        observed: Option<&'a Observed>,
        actions: &'a mut Vec<&'static str>,
    ) -> Self {
        Self { engine, request, observed, actions, admission: None, created: None }
    }

    /// Does every step of `plan`.
    ///
    /// # Errors
    /// The first step that fails ends it.
    pub async fn along(mut self, plan: &Plan) -> Result<(), Failed> {
        for step in &plan.steps {
            if let Err(failed) = self.step(step).await {
                return Err(match self.created.take() {
                    Some(id) => self.remove_created(&id, failed.error).await,
                    None => failed,
                });
            }
            if !matches!(step, Step::PullImage | Step::LoadImage) {
                self.actions.push(step.word());
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), Failed> {
        let Self { engine, request, .. } = *self;
        let grace = request.wish.stop_timeout;
        if matches!(step, Step::Start | Step::Restart | Step::Unpause | Step::Stop | Step::Remove) {
            // What the container claims shows on the engine already; nobody need wait for a stop or a settling.
            self.admission = None;
        }
        match step {
            Step::CreateDirectory(path, mode) => directories::create(path, *mode)?,
            Step::SetMode(path, mode) => directories::set_mode(path, *mode)?,
            Step::PurgeDirectory(path) => {
                if let Some(observed) = self.observed.filter(|observed| observed.status.is_up()) {
                    self.answered(engine.stop(observed, grace).await)?;
                }
                directories::purge(path)?;
            }
            // Fetched before the lock was taken: it may take long and disturbs nobody.
            Step::PullImage | Step::LoadImage => return Ok(()),
            Step::Create => {
                self.created = Some(self.answered(engine.create(&request.name, wanted(request)?).await)?);
                self.admission = None;
            }
            Step::Update(update) => {
                let there = self.there()?;
                if let Err(failure) = engine.update(&there.id, update).await {
                    return Err(self.not_updated(there, failure).await.into());
                }
                self.admission = None;
            }
            Step::Replace { start } => {
                let old = self.there()?;
                replace::run(engine, request, wanted(request)?, old, *start, self.admission.take()).await?;
            }
            Step::Start => {
                let id =
                    self.created.as_ref().map_or_else(|| self.there().map(|there| there.id.as_str()), |id| Ok(id))?;
                self.started(id, engine.start(id).await).await?;
            }
            Step::Restart => {
                let observed = self.there()?;
                self.started(&observed.id, engine.restart(observed, grace).await).await?;
            }
            Step::Unpause => self.answered(engine.unpause(&self.there()?.id).await)?,
            Step::Stop => self.answered(engine.stop(self.there()?, grace).await)?,
            Step::Remove => {
                let observed = self.there()?;
                if observed.status.is_up() {
                    // It shall end in its own way, not by the removal.
                    self.answered(engine.stop(observed, grace).await)?;
                }
                self.answered(engine.remove(&observed.id).await)?;
            }
        }
        Ok(())
    }

    /// An engine that cannot update a scanner which just ended by itself does not say so in a way that helps.
    async fn not_updated(&self, before: &Observed, failure: Failure) -> Error {
        match self.engine.look_at(&before.id).await {
            Ok(Some(now)) if now.status == Status::Restarting || now.restart_count != before.restart_count => {
                settle::ended(self.engine, &now).await
            }
            _ => failure.into_error(self.engine.host()),
        }
    }

    /// Waits until a scanner that was just started is known to stay up.
    async fn started(&self, id: &str, start: Result<(), Failure>) -> Result<()> {
        match start {
            Ok(()) => settle::stays_up(self.engine, id, self.request.wish.settle).await,
            Err(failure) => Err(settle::could_not_start(failure, self.engine)),
        }
    }

    /// A scanner that never worked is not left behind: its restart policy would start it again and again.
    async fn remove_created(&mut self, id: &str, error: Error) -> Failed {
        match replace::remove(self.engine, id).await {
            Ok(()) => {
                let error = error.and("the new container was removed again, the private directory kept");
                Failed { error, rolled_back: true, unfinished: false }
            }
            Err(failure) => {
                let error = error.and(format!("and the new container could not be removed again ({failure})"));
                Failed { error, rolled_back: false, unfinished: true }
            }
        }
    }

    fn answered<T>(&self, answer: Result<T, Failure>) -> Result<T> {
        answer.map_err(|failure| failure.into_error(self.engine.host()))
    }

    fn there(&self) -> Result<&'a Observed> {
        let defect = "a plan for a container that is not there; report this as a defect";
        self.observed.ok_or_else(|| Error::new(Kind::Internal, defect))
    }
}

fn wanted(request: &Request) -> Result<&Desired> {
    let defect = "a plan to create without what to create; report this as a defect";
    request.desired.as_ref().ok_or_else(|| Error::new(Kind::Internal, defect))
}
