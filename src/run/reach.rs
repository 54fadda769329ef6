//! The loop of a replacement and of its rollback: observe, ask [`replacement::next`] for the next operation, do it.
//!
//! It does not remember where it is. It remembers only what cannot be observed: the error that caused a rollback, and the calls
//! that the engine did not answer.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::execute::Executor;
use super::retry::Tries;
use crate::engine::{Engine, Failure};
use crate::error::{Error, Kind};
use crate::scanner::observed::Note;
use crate::scanner::operation::{Alias, Operation, Role};
use crate::scanner::replacement::{self, Goal, Halfway, RollBack};
use crate::scanner::values::environment::Environment;
use crate::scanner::values::restart_policy::RestartPolicy;

/// More operations than any replacement or rollback takes.
const MOST: usize = 64;

/// How often the engine may confirm one operation of which then nothing is to be seen.
const SAME: usize = 8;

/// How long to wait for the effect of one that was confirmed again.
const LATE: Duration = Duration::from_millis(100);

/// The context of the error that made a replacement fail, when a signal ended the run as well.
#[derive(Debug, thiserror::Error)]
#[error("interrupted by a signal")]
pub struct Interrupted;

/// The state of a replacement or a rollback while a run carries it out.
struct Way {
    /// The goal going forward; `None`: the old one comes back.
    forward: Option<Goal>,
    tries: Tries,
    /// What a rollback must know, if there is one.
    back: RollBack,
    /// The error that caused the rollback.
    cause: Option<anyhow::Error>,
    /// Whether a new container under its temporary name may be incomplete, and must be created again.
    incomplete: bool,
    /// The last operation that the engine confirmed, and how often in a row.
    confirmed: Option<(Operation, usize)>,
}

/// An operation that failed; `None`: the containers could not be observed.
struct Stuck {
    operation: Option<Operation>,
    error: anyhow::Error,
}

impl Way {
    fn goal(&self) -> Goal {
        self.forward.clone().unwrap_or_else(|| Goal::RollBack(self.back.clone()))
    }

    /// Notes that the engine confirmed `operation`, and waits where it did so before: an effect may show late. Whether it may go
    /// on like that.
    async fn confirm(&mut self, operation: &Operation) -> bool {
        let before = self.confirmed.take().filter(|(last, _)| last == operation).map_or(0, |(_, count)| count);
        self.confirmed = Some((operation.clone(), before + 1));
        if before > 0 {
            sleep(LATE).await;
        }
        before + 1 < SAME
    }

    fn set(&mut self, goal: Goal) {
        self.forward = match goal {
            Goal::RollBack(back) => {
                self.back = back;
                None
            }
            forward => Some(forward),
        };
    }
}

impl<E: Engine> Executor<'_, E> {
    /// Replaces the scanner by one that keeps the variables `env`.
    pub(super) async fn replace(&mut self, start: bool, policy: RestartPolicy, env: &Environment) -> Result<()> {
        self.kept_env.clone_from(env);
        let now = self.container(Role::Scanner)?;
        let note = Note { was_up: now.status.is_up() || self.owes_start, ..Note::of(now) };
        let old = note.id.clone();
        self.note = Some(note);
        self.reach(Goal::Replace { old, start, policy }, true, true).await
    }

    /// Brings a replacement that a run before this one left half-way to `goal`; `may_start` says whether the scanner may run.
    pub(super) async fn recover(&mut self, goal: Goal, may_start: bool) -> Result<()> {
        self.note = self.seen.halfway().map(|it| it.note.clone());
        if let Err(error) = self.reach(goal, may_start, false).await {
            let old = self.note.as_ref().map(|note| note.id.as_str());
            let is_back = self.seen.halfway().is_none() && self.seen.current.as_ref().map(|it| it.id.as_str()) == old;
            // The new one does not work, and the task may want a different one by now.
            return if is_back && self.interrupt.check().is_ok() { Ok(()) } else { Err(error) };
        }
        let Some(halfway) = self.seen.halfway() else { return Ok(()) };
        let message = format!(
            "the engine has not confirmed every call that restores the old scanner; run the task again: `{}`",
            halfway.old.map_or("", |old| &old.name)
        );
        Err(Error::new(Kind::EngineError, message).into())
    }

    /// Whether a recovery ended with the old one in its place, and it cannot be started as it is: another configuration may be
    /// the cure.
    pub(super) fn is_old_broken(&self) -> bool {
        let is_back = |it: Halfway<'_>| it.old.is_some_and(|old| old.name == self.request.name.as_str());
        self.seen.halfway().is_some_and(is_back)
    }

    /// Does one operation after the other, from what is observed until `goal` is reached.
    async fn reach(&mut self, goal: Goal, may_start: bool, incomplete: bool) -> Result<()> {
        let tries = match goal {
            Goal::RollBack(_) => Tries::back(self.timeout),
            _ => Tries::forward(self.timeout),
        };
        let back = RollBack { note: self.note.clone(), may_start, ..RollBack::default() };
        let mut way = Way { forward: None, tries, back, cause: None, incomplete, confirmed: None };
        way.set(goal);
        let mut left = MOST;
        loop {
            match self.advance(&mut way).await {
                Ok(None) if !way.goal().is_reached(&self.seen) => {
                    let message = format!(
                        "somebody removed or renamed a container of the scanner while it was being replaced; \
                         run the task again: `{}`",
                        self.request.name
                    );
                    return Err(Error::new(Kind::EngineError, message).into());
                }
                Ok(None) => break,
                Ok(Some(operation)) => {
                    // A stop is repeated until `timeout`, see [`Failure::Restarted`].
                    left -= usize::from(!matches!(operation, Operation::Stop(_)));
                    if left == 0 || !way.confirm(&operation).await {
                        return Err(self.has_no_effect(way.cause));
                    }
                    way.set(way.goal().after(&operation));
                    // A container that was removed only to be created again is no progress.
                    if operation != Operation::Remove(Role::New) {
                        way.tries.succeeded();
                    }
                }
                Err(stuck) => way = self.try_again(way, stuck).await?,
            }
        }
        match way.cause {
            None => Ok(()),
            Some(cause) if self.interrupt.check().is_err() => Err(cause.context(Interrupted)),
            Some(cause) => Err(cause),
        }
    }

    fn has_no_effect(&self, cause: Option<anyhow::Error>) -> anyhow::Error {
        let message = format!(
            "the engine confirms calls that have no effect; see its log, restart it, then run the task again: `{}`",
            self.request.name
        );
        let error = Error::new(Kind::EngineError, message);
        match cause {
            Some(cause) => cause.context(error.message),
            None => error.into(),
        }
    }

    /// Observes the containers and does the next operation; `None`: nothing is left to do.
    async fn advance(&mut self, way: &mut Way) -> Result<Option<Operation>, Stuck> {
        self.look().await.map_err(|error| Stuck { operation: None, error })?;
        let name = &self.request.name;
        way.back.resolve(name, &self.seen);
        let goal = way.goal();
        let Some(mut operation) = replacement::next(name, &self.seen, &goal) else { return Ok(None) };
        if way.incomplete && matches!(goal, Goal::Replace { .. }) && self.seen.incoming.is_some() {
            operation = Operation::Remove(Role::New);
        }
        if !self.nothing_runs() {
            self.interrupt.check().map_err(|error| Stuck { operation: None, error: error.into() })?;
        }
        // Podman ignores a stop that comes between two starts.
        let is_stop = matches!(operation, Operation::Stop(_));
        if is_stop && way.confirmed.take().is_some_and(|(last, _)| last == operation) {
            return Err(Stuck { operation: Some(operation), error: Failure::Restarted.into() });
        }
        way.set(goal.before(&operation));
        self.written.went_back |= way.forward.is_none();
        let done = self.perform(&operation).await;
        if matches!(operation, Operation::CreateSuccessor) {
            way.incomplete = done.is_err();
        }
        match done {
            Ok(()) => Ok(Some(operation)),
            Err(error) => Err(Stuck { operation: Some(operation), error }),
        }
    }

    /// Whether a scanner that ran before is down because of its replacement.
    fn nothing_runs(&self) -> bool {
        self.seen.halfway().is_some_and(|it| it.note.was_up) && !self.seen.iter().any(|it| it.status.is_up())
    }

    /// How to go on after a failure: try the same again, or change the goal.
    async fn try_again(&self, mut way: Way, Stuck { operation, error }: Stuck) -> Result<Way> {
        if error.downcast_ref::<Error>().is_some_and(|error| error.kind == Kind::Interrupted) {
            return Err(way.cause.map_or(error, |cause| cause.context(Interrupted)));
        }
        let leaves_doubt = Failure::of(&error).is_some_and(Failure::leaves_doubt);
        if let Some(operation) = operation.as_ref().filter(|_| leaves_doubt) {
            way.back.doubt(operation);
        }
        if way.tries.again(&error).await {
            return Ok(way);
        }
        match (way.forward.take(), operation) {
            (Some(Goal::Finish { .. }), _) => {
                Err(error.context("the new scanner works, and the next run removes the old one"))
            }
            (Some(_), _) => Ok(Way { tries: Tries::back(self.timeout), cause: Some(error), ..way }),
            // It goes on running, which is what a rollback wants.
            (None, Some(stop @ Operation::Stop(Role::Old))) => {
                way.back = RollBack { stop_under_way: false, in_doubt: Some(stop), ..way.back };
                Ok(way)
            }
            (None, operation) => Err(not_back(way.cause, error, operation.as_ref())),
        }
    }
}

/// The error of a rollback that `error` ended early.
fn not_back(cause: Option<anyhow::Error>, error: anyhow::Error, operation: Option<&Operation>) -> anyhow::Error {
    let what = match operation {
        Some(Operation::Start(Role::Old)) => "the old scanner is back under its name, but could not be started again",
        Some(Operation::Rename(Role::New, Alias::Own)) => {
            "the old scanner is gone, and another container has the name of the new one"
        }
        Some(Operation::Remove(_)) => "the old scanner is back, but the new container could not be removed",
        _ => "the old scanner is not lost, but could not be put back yet",
    };
    let next = "the next run of the task tries again";
    match cause {
        Some(cause) => cause.context(format!("{what} ({error}); {next}")),
        None => error.context(format!("an interrupted replacement could not be put in order: {what}; {next}")),
    }
}
